"""Config files, whatever they hold and wherever they lie."""

import pytest

from experiments import command_line, config_files
from library.config import ConfigError

REFERENCES = """
from ml_collections import ConfigDict, config_dict

def get_config():
    config = ConfigDict()
    config.size = 32
    config.dataset = dict(batch_size=config.get_ref("size"))
    config.preprocess = [dict(name="resize", size=config.get_ref("size"))]
    config.crop = (config.get_ref("size") * 2, 7)
    config.double = config.get_ref("size") * 2
    shared = ConfigDict(dict(rate=0.5))
    config.one, config.two = shared, shared
    config.given = config_dict.placeholder(int)
    return config
"""


@pytest.fixture
def file(tmp_path):
    """Writes a config file and returns its path."""

    def write(text: str | bytes, name: str = "config.py") -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


@pytest.mark.parametrize("key", ["size", "dataset.batch_size", "preprocess.0.size"])
def test_what_follows_a_value_follows_its_override(file, key):
    values = command_line.load_config(file(REFERENCES), {key: "64"})[0]
    assert values["size"] == values["dataset"]["batch_size"] == 64
    assert values["preprocess"] == [{"name": "resize", "size": 64}]
    assert (values["double"], values["crop"]) == (128, [128, 7])


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({}, {"size": 32, "double": 64, "given": None}),
        ({"double": "5"}, {"size": 32, "double": 5}),
        ({"double": "5", "size": "1"}, {"size": 1, "double": 5}),
        ({"dataset": "{'batch_size': 3}"}, {"size": 3, "double": 6, "dataset": {"batch_size": 3}}),
        ({"dataset": "{}"}, {"size": 32, "dataset": {}}),
        ({"preprocess": "[{'size': 3}]"}, {"size": 3, "preprocess": [{"size": 3}]}),
        ({"one.rate": "0.1"}, {"one": {"rate": 0.1}, "two": {"rate": 0.1}}),
        ({"given": "3"}, {"given": 3}),
    ],
)
def test_references_are_settled_once_all_overrides_are_read(file, overrides, expected):
    values = command_line.load_config(file(REFERENCES), overrides)[0]
    assert {key: values[key] for key in expected} == expected


def test_a_reference_keeps_its_type(file):
    with pytest.raises(ConfigError, match="is of type float, expected int, as in 64"):
        command_line.load_config(file(REFERENCES), {"double": "0.5"})


def test_a_required_placeholder_is_to_be_given(file):
    text = REFERENCES.replace("placeholder(int)", "placeholder(int, required=True)")
    assert command_line.load_config(file(text), {"given": "3"})[0]["given"] == 3
    with pytest.raises(ConfigError, match=r"config\.given has no value .*: add --config\.given=V"):
        command_line.load_config(file(text))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "{}", "a.txt' is not Python: its name ends in .py"),
        ("a.json", "{}", "a.json' is not Python: its name ends in .py"),
        ("a.py", b"\x00\xff\x00", "a.py: "),
        ("a.py", "x = (\n", "a.py, line 1: SyntaxError: '(' was never closed\n  x = ("),
        (
            "a.py",
            "import nowhere\n",
            "a.py, line 1: ModuleNotFoundError: No module named 'nowhere'",
        ),
        (
            "a.py",
            "import json\n\ndef get_config():\n    return json.loads('{')\n",
            "a.py, line 4: JSONDecodeError: Expecting property name enclosed in double quotes: "
            "line 1 column 2 (char 1)\n  return json.loads('{')",
        ),
        ("a.py", "def get_config():\n    pass\n", "returns None, expected a ConfigDict"),
        ("a.py", "x = 1\n", "has no function get_config(variant) or get_config()"),
    ],
)
def test_a_file_that_fails_is_named_with_its_line(program, file, tmp_path, name, text, message):
    ended = program("train", f"--config={file(text, name)}", f"--workdir={tmp_path}/run")
    assert ended.code == 2, ended
    assert message in ended.err
    assert ended.err.count("\n") <= 2
    assert not (tmp_path / "run").exists()


def test_annotations_of_dataclasses_may_be_strings(file):
    text = (
        "from __future__ import annotations\nimport dataclasses\n\n"
        "@dataclasses.dataclass\nclass Sizes:\n    width: int = 3\n\n"
        "def get_config():\n    return dataclasses.asdict(Sizes())\n"
    )
    assert command_line.load_config(file(text))[0] == {"width": 3}


def test_a_path_may_hold_a_colon(file):
    text = "VARIANTS = 'ab'\ndef get_config(variant):\n    return {'variant': variant}\n"
    path = file(text, "at 10:30/my:config.py")
    assert command_line.load_config(path)[0] == {"variant": "a"}
    assert command_line.load_config(f"{path}:b")[0] == {"variant": "b"}


def test_a_directory_and_a_wrong_name_show_what_there_is(file, tmp_path):
    path = file("def get_config():\n    return {}\n", "mine.py")
    (tmp_path / "program.py").write_text("raise SystemExit('it was executed')")
    with pytest.raises(ConfigError, match=f"is a directory; recipes and their claims:\n  {path}$"):
        command_line.load_config(str(tmp_path))
    with pytest.raises(ConfigError, match=f"did you mean '{path}'"):
        command_line.load_config(str(tmp_path / "mien.py"))


def test_an_empty_directory_says_so(tmp_path):
    with pytest.raises(ConfigError, match="is a directory without config files"):
        command_line.load_config(str(tmp_path))


def test_a_word_finds_recipes_by_path_and_else_by_docstring():
    with pytest.raises(ConfigError) as by_path:
        command_line.load_config("Digits")
    paths = [line.split()[0] for line in str(by_path.value).splitlines()[1:]]
    assert "configs/cnn/digits.py" in paths
    assert all("digits.py" in path for path in paths)
    with pytest.raises(ConfigError, match="no config file 'zzz qqq': "):
        command_line.load_config("zzz qqq")
    with pytest.raises(ConfigError) as by_docstring:
        command_line.load_config("2015 ronneberger")
    assert "\n  configs/unet/isbi2012_membrane.py" in str(by_docstring.value)


def test_a_directory_lists_the_claim_of_each_variant():
    with pytest.raises(ConfigError) as listed:
        command_line.load_config("configs/resnet")
    lines = str(listed.value).splitlines()
    (line,) = [line for line in lines if "configs/resnet/cifar10.py:resnet20 " in line]
    reported = command_line.load_config("configs/resnet/cifar10.py:resnet20")[0]["reported"]
    assert f"{reported['metric']} {100 * reported['value']:.2f}% ({reported['source']})" in line
    assert all(line.startswith("  ") for line in lines[1:])


@pytest.mark.parametrize(
    "given",
    [
        ("--config.optimizer.b1=0.25", "--config.ema.decay=0.9"),
        ("--config=configs/sngan/cifar10.py",),
    ],
)
def test_a_printed_config_is_a_config_file_of_the_same_values(program, asked, file, given):
    given = (*given, "--config.seed=7")
    ended = program("train", *given, "--print_config")
    assert (ended.code, ended.err) == (0, "")
    values = asked(*given).values
    assert command_line.load_config(file(ended.out))[0] == values
    assert values["seed"] == 7


def test_a_relative_path_is_of_the_working_directory_and_then_of_the_project(
    asked, file, tmp_path, monkeypatch
):
    (tmp_path / "configs" / "digits").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    identity = asked("--config=configs/cnn/digits.py").identity
    assert identity["path"] == "configs/cnn/digits.py"
    assert identity["found"].startswith("the project, ")
    own = file("def get_config():\n    return {}\n", "configs/cnn/digits.py")
    identity = asked("--config=configs/cnn/digits.py").identity
    assert identity["path"] == own
    assert identity["found"] == f"the working directory, {own}"


def test_only_overrides_that_change_a_value_are_recorded(tmp_path):
    path = tmp_path / "recipe.py"
    path.write_text(
        "def get_config():\n    return dict(total='2 epochs', model=dict(widths=[4]))\n"
    )
    same = {"total": "2 epochs", "model.widths": "(4,)", "model.widths.0": "4"}
    other = {"model.depth": "None", "total": "3 epochs"}
    for overrides, kept in ((same, {}), (same | other, other)):
        values, _, _ = config_files.load_config(str(path), overrides)
        assert config_files.changed(str(path), values, overrides) == kept
