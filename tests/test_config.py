import dataclasses
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import ml_collections
import pytest

from library import config, former_names
from library.config import ConfigError, check_value, duration

MODULES = {
    "resnet": """
        import functools
        from math import sqrt

        class ResNet:
            pass

        def _block(x):
            return x

        def resnet18(num_classes: int = 10, stem: str = "imagenet", rate: float = 0.0):
            return ("resnet18", num_classes, stem, rate)

        def resnet50(num_classes: int, widths: tuple[int, ...] = (64,), *, dtype="float32"):
            return ("resnet50", num_classes, widths, dtype)
    """,
    "mlp": """
        def mlp(hidden: tuple[int, int], activation: str | None = None):
            return ("mlp", hidden, activation)
    """,
    "deep.inner": """
        def inner(x: int = 1):
            return ("inner", x)
    """,
    "broken": "import module_that_is_not_there\n",
}


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """A package of models, named zoo, without the module that cannot be imported."""
    for name, source in MODULES.items():
        if name == "broken":
            continue
        path = tmp_path.joinpath("zoo", *name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source))
    for folder in ("zoo", "zoo/deep"):
        (tmp_path / folder / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "zoo"
    for name in [n for n in sys.modules if n.split(".")[0] == "zoo"]:
        del sys.modules[name]


def build(spec, **injected):
    return config.build(spec, "zoo", "model", **injected)


def test_names_are_import_paths(zoo):
    assert build(dict(name="resnet.resnet18", stem="cifar")) == ("resnet18", 10, "cifar", 0.0)
    assert build(dict(name="mlp", hidden=[8, 4])) == ("mlp", (8, 4), None)
    assert build(dict(name="deep.inner.inner", x=3)) == ("inner", 3)
    assert build(dict(name="inner", x=4)) == ("inner", 4)
    assert build(dict(name="resnet50", num_classes=2))[0] == "resnet50"
    assert config.available("zoo.resnet") == ["resnet18", "resnet50"]
    assert config.locate("resnet50", "zoo.resnet", "model")(3)[0] == "resnet50"


def test_a_name_that_two_files_have_is_written_with_its_folder(zoo):
    (zoo / "deep" / "mlp.py").write_text("def mlp(width: int = 1):\n    return ('deep', width)\n")
    (zoo / "other.py").write_text("def resnet18():\n    return 'other'\n")
    with pytest.raises(
        ConfigError, match=r"model 'mlp' is ambiguous: it may be deep\.mlp\.mlp or mlp\.mlp;"
    ):
        build(dict(name="mlp"))
    assert build(dict(name="deep.mlp.mlp")) == ("deep", 1)
    with pytest.raises(ConfigError, match=r"other\.resnet18 or resnet\.resnet18; write"):
        build(dict(name="resnet18"))
    assert {"deep.mlp", "mlp", "other.resnet18"} < set(config.available("zoo"))


def test_a_former_name_is_found_where_nothing_has_it_now(zoo, monkeypatch):
    monkeypatch.setitem(former_names.NAMES, "zoo", {"inception": "inner", "mlp": "inner"})
    assert build(dict(name="inception")) == ("inner", 1)
    assert build(dict(name="mlp", hidden=(1, 2)))[0] == "mlp"
    with pytest.raises(ConfigError, match="unknown model 'inceptio'"):
        build(dict(name="inceptio"))


def test_injected_values_fill_in_and_the_spec_overrules(zoo):
    injected = dict(num_classes=7, num_examples=100)
    assert build(dict(name="resnet.resnet50"), **injected)[1] == 7
    assert build(dict(name="resnet.resnet50", num_classes=3), **injected)[1] == 3
    assert build(dict(name="mlp", hidden=(1, 2)), **injected) == ("mlp", (1, 2), None)


def test_a_config_dict_is_read(zoo):
    spec = ml_collections.ConfigDict(dict(name="resnet.resnet50", num_classes=2, widths=(8, 16)))
    assert build(spec) == ("resnet50", 2, (8, 16), "float32")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet.resnet81", "unknown model 'resnet.resnet81': did you mean 'resnet.resnet18'"),
        ("resnet81", "did you mean 'resnet.resnet18'"),
        ("mpl", r"did you mean 'mlp'\? \(valid: inner, mlp, resnet.resnet18, resnet.resnet50\)"),
        ("resnet.ResNet", "unknown model 'resnet.ResNet'"),
        ("resnet._block", "unknown model 'resnet._block'"),
        ("resnet.sqrt", "unknown model 'resnet.sqrt'"),
        ("resnet.resnet18.more", "did you mean 'resnet.resnet18'"),
        ("nowhere.at.all", "unknown model 'nowhere.at.all'"),
        ("", "unknown model ''"),
        ("../mlp", "did you mean 'mlp'"),
        (3, "the name of a model is a string, got 3"),
    ],
)
def test_unknown_names_show_the_nearest(zoo, name, message):
    with pytest.raises(ConfigError, match=message):
        build(dict(name=name))


def test_what_a_module_fails_to_import_is_not_an_unknown_name(zoo):
    (zoo / "broken.py").write_text(MODULES["broken"])
    with pytest.raises(ModuleNotFoundError, match="module_that_is_not_there"):
        build(dict(name="broken"))
    (zoo / "deep" / "__init__.py").write_text(MODULES["broken"])
    with pytest.raises(ModuleNotFoundError, match="module_that_is_not_there"):
        build(dict(name="deep.inner.inner"))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (dict(name="resnet.resnet18", stm="cifar"), "takes no 'stm': did you mean 'stem'"),
        (dict(name="resnet.resnet50"), "needs 'num_classes'; given: nothing"),
        (dict(name="resnet.resnet50", dtype="x"), r"needs 'num_classes'; given: \['dtype'\]"),
        (dict(name="resnet.resnet18", stem=3), "stem=3 is of type int, expected str"),
        (dict(name="resnet.resnet18", num_classes="3"), "'3' is of type str, expected int"),
        (dict(name="resnet.resnet18", num_classes=3.0), "3.0 is of type float, expected int"),
        (dict(name="resnet.resnet18", num_classes=True), "True is of type bool, expected int"),
        (dict(name="resnet.resnet18", rate=True), "True is of type bool, expected float"),
        (dict(name="resnet.resnet18", num_classes=0), "num_classes=0: sizes and counts are 1"),
        (dict(name="resnet.resnet50", num_classes=1, widths=[8, -1]), "sizes and counts are 1"),
        (dict(name="resnet.resnet50", num_classes=1, widths=8), "8 is not a list of values"),
        (dict(name="resnet.resnet50", num_classes=1, widths=[8, "x"]), r"widths\[1\]='x'"),
        (dict(name="mlp", hidden=[1, 2, 3]), "has 3 values, not 2"),
        (dict(stem="cifar"), "a model needs a name"),
        ("resnet.resnet18", "a model is written dict"),
    ],
)
def test_arguments_that_do_not_fit(zoo, spec, message):
    with pytest.raises(ConfigError, match=message):
        build(spec)


def test_whole_numbers_become_floats_and_lists_tuples():
    value = check_value(1, float, "x")
    assert value == 1
    assert type(value) is float
    assert check_value([[1, 2], [3, 4]], tuple[tuple[int, int], ...], "x") == ((1, 2), (3, 4))
    assert check_value((1, 2), list[float], "x") == [1.0, 2.0]
    assert check_value([1, "a"], Sequence, "x") == (1, "a")
    assert check_value({"a": 1}, dict[str, int], "x") == {"a": 1}
    assert check_value({"a": 1}, Mapping[str, Any], "x") == {"a": 1}


@pytest.mark.parametrize(
    ("value", "annotation", "expected"),
    [
        (None, float | None, None),
        (2, float | None, 2.0),
        (2, float | int, 2),
        (2.5, int | float, 2.5),
        ("a", float | str, "a"),
        (True, bool | float, True),
        ([1, 2], tuple[int, int] | None, (1, 2)),
        ("a", Literal["a", "b"] | None, "a"),
        ({"x": 1}, dict | None, {"x": 1}),
        (4, int | tuple[int, int], 4),
    ],
)
def test_unions_take_any_of_their_types(value, annotation, expected):
    got = check_value(value, annotation, "x")
    assert got == expected
    assert type(got) is type(expected)


@pytest.mark.parametrize(
    ("value", "annotation", "message"),
    [
        ("1", float | None, "x='1' is of type str, expected float or None"),
        ("[a]", tuple[str, ...] | None, r"""x='\[a\]' is not a list .*: write \["a"\], on a"""),
        ("a, b", tuple[str, ...], r"""x='a, b' is not a list of values: write \["a", "b"\], """),
        (True, float | None, "x=True is of type bool, expected float or None"),
        ([1, 2, 3], tuple[int, int] | None, r"x=\[1, 2, 3\] has 3 values, not 2"),
        ([1, "a"], int | tuple[int, int], "x='a' is of type str, expected int"),
        ("aa", Literal["a", "b"] | None, r"x='aa': did you mean 'a'\? \(valid: a, b\)"),
        (3, Literal["a", "b"] | None, "x=3 is of type int, expected .* or None"),
        ("c", Literal[1, 2], r"x='c': \(valid: 1, 2\)"),
    ],
)
def test_unions_say_what_is_wrong(value, annotation, message):
    with pytest.raises(ConfigError, match=message):
        check_value(value, annotation, "x")


def test_functions_of_any_arguments():
    def function(first: int, *rest: int, last: float = 1.0, **others: str):
        return first, rest, last, others

    got = config.check_arguments(function, dict(first=1, last=2, more="x"), "f")
    assert got == dict(first=1, last=2.0, more="x")


@dataclasses.dataclass(frozen=True)
class Settings:
    decay: float
    every: int = 1


def test_settings_are_read_into_dataclasses():
    assert config.read(Settings, dict(decay=1), "ema") == Settings(1.0, 1)
    assert config.fields(Settings) == ["decay", "every"]
    with pytest.raises(ConfigError, match="ema takes no 'evry': did you mean 'every'"):
        config.read(Settings, dict(decay=0.9, evry=3), "ema")
    with pytest.raises(ConfigError, match="ema is written dict"):
        config.read(Settings, 0.9, "ema")


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("7 steps", 7),
        ("1 step", 1),
        ("1_000 steps", 1000),
        ("2e3 steps", 2000),
        ("30 epochs", 234),
        ("1.5 epochs", 11),
        ("30epochs", 234),
        (" 1 epoch ", 7),
        ("640 examples", 5),
        ("700 examples", 5),
        ("10%", 50),
        ("2.5 %", 12),
        ("100%", 500),
        ("0 steps", 0),
        ("0%", 0),
        # More than nothing is never nothing.
        ("1 example", 1),
        ("0.01%", 1),
    ],
)
def test_durations_in_steps(text, steps):
    assert duration(text, batch_size=128, num_examples=1000, total=500) == steps


def test_durations_are_exact():
    assert duration("2.3 epochs", batch_size=1, num_examples=100) == 230
    for epochs in range(1, 400):
        assert duration(f"{epochs} epochs", batch_size=100, num_examples=60000) == 600 * epochs
    assert duration("29%", batch_size=1, num_examples=1, total=100) == 29


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("30", "'30' is not a duration: write one number and one unit of steps, epochs, "),
        (30, "as in '30 steps', '30 epochs'"),
        ("3 epochs 2 steps", "is not a duration"),
        ("3 epochs steps", "is not a duration"),
        ("epochs", "as in '10 steps', '10 epochs'"),
        ("3 parsecs", "as in '3 steps', '3 epochs'"),
        ("-3 steps", "is not a duration"),
        (None, "None is not a duration"),
        ("5%", "percentages have no meaning here"),
    ],
)
def test_what_is_no_duration(text, message):
    with pytest.raises(ConfigError, match=message):
        duration(text, batch_size=128, num_examples=1000)


def test_durations_are_read_where_settings_are():
    @dataclasses.dataclass
    class Settings:
        every: config.Duration = "10%"

    assert config.read(Settings, {"every": "3 epochs"}, "log").every == "3 epochs"
    for wrong, shown in ((5, "5"), ("5", "'5'"), ("5 stps", "'5 stps'"), (None, "None")):
        with pytest.raises(ConfigError, match=f"log, every={shown} is not a duration"):
            config.read(Settings, {"every": wrong}, "log")


def test_counts_are_one_or_more():
    def function(accumulate: int = 1, keep: int = 2, num_threads: int = 1, padding: int = 0):
        pass

    for name in ("accumulate", "keep", "num_threads"):
        with pytest.raises(ConfigError, match=f"{name}=0: sizes and counts are 1 or more"):
            config.check_arguments(function, {name: 0}, "it")
    assert config.check_arguments(function, {"padding": 0}, "it") == {"padding": 0}


def test_differing_lists_dotted_keys_with_both_values():
    ours = dict(model=dict(name="a", widths=(1, 2)), seed=0, only=1)
    theirs = dict(model=dict(name="b", widths=[1, 2]), seed=0, other=None)
    assert config.differing(ours, theirs) == [
        "model.name: 'a' here, 'b' there",
        "only: 1 here, unset there",
        "other: unset here, None there",
    ]
    assert config.differing(ours, ours) == []


def test_plain_copies_config_dicts_to_the_bottom():
    nested = ml_collections.ConfigDict(dict(a=dict(b=(1, dict(c=2)))))
    got = config.plain(nested)
    assert got == {"a": {"b": [1, {"c": 2}]}}
    assert type(got["a"]) is dict
    assert config.plain({1: (2, 3)}) == {"1": [2, 3]}


def test_choices():
    config.check_choice("strategy", "jit", ("jit", "pmap"))
    with pytest.raises(ConfigError, match="unknown strategy 'pmpa': did you mean 'pmap'"):
        config.check_choice("strategy", "pmpa", ("jit", "pmap"))
    assert config.nearest("digits", ["configs/cnn/digits.py", "b"]).startswith(
        "did you mean 'configs/cnn/digits.py'? "
    )
    assert config.nearest("x", []) == "(there are none)"
    assert config.nearest("x", range(30)).endswith("23, ...)")


@pytest.mark.parametrize(
    ("given", "options", "meant"),
    [
        ("lr", ["b1", "learning_rate"], "learning_rate"),
        ("lr", ["dataset", "optimizer"], "optimizer.learning_rate"),
        ("wd", ["learning_rate", "weight_decay"], "weight_decay"),
        ("bsz", ["name", "batch_size"], "batch_size"),
        ("batch_size", ["dataset", "model"], "dataset.batch_size"),
        ("epochs", ["evaluate", "total"], "total"),
    ],
)
def test_what_others_call_a_key_is_understood(given, options, meant):
    assert config.nearest(given, options).startswith(f"did you mean {meant!r}? (valid: ")


def test_a_name_that_is_not_among_the_options_is_not_suggested():
    assert config.nearest("lr", ["width"]) == "(valid: width)"
