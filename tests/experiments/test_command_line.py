"""What is typed becomes the config of a run, or a line that says why not."""

import subprocess
import sys

import pytest
from absl import flags, logging

from experiments import command_line
from library.config import ConfigError

CIFAR = "configs/resnet/cifar10.py"


def values():
    return {
        "seed": 0,
        "total": "40 epochs",
        "parallel": {},
        "ema": None,
        "optimizer": {"learning_rate": 0.003, "nesterov": False, "betas": [0.9, 0.999]},
        "augment": [{"name": "random_crop", "padding": 1}, {"name": "flip_lr"}],
    }


@pytest.mark.parametrize(
    ("key", "text", "path", "expected"),
    [
        ("seed", "3", ["seed"], 3),
        ("seed", "-3", ["seed"], -3),
        ("total", "1 epoch", ["total"], "1 epoch"),
        ("total", "5", ["total"], "5"),
        ("total", "'1 epoch'", ["total"], "1 epoch"),
        ("optimizer.learning_rate", "1e-4", ["optimizer", "learning_rate"], 1e-4),
        ("optimizer.learning_rate", "1", ["optimizer", "learning_rate"], 1.0),
        ("optimizer.nesterov", "true", ["optimizer", "nesterov"], True),
        ("optimizer.nesterov", "False", ["optimizer", "nesterov"], False),
        ("optimizer.betas", "(0.5, 0.9)", ["optimizer", "betas"], [0.5, 0.9]),
        ("optimizer.betas.1", "0.99", ["optimizer", "betas", 1], 0.99),
        ("augment.0.padding", "4", ["augment", 0, "padding"], 4),
        ("augment.1.name", "flip_ud", ["augment", 1, "name"], "flip_ud"),
        ("augment", "[]", ["augment"], []),
        ("augment", "[dict(name='a', size=(1, 2))]", ["augment"], [{"name": "a", "size": [1, 2]}]),
        ("ema", "dict()", ["ema"], {}),
        ("augment", "{'train': []}", ["augment"], {"train": []}),
        ("note", "list(a=1)", ["note"], "list(a=1)"),
        ("note", "{[]: 1}", ["note"], "{[]: 1}"),
        ("ema.decay", "0.9", ["ema", "decay"], 0.9),
        ("ema", "{'decay': 0.9}", ["ema"], {"decay": 0.9}),
        ("parallel.mesh.data", "8", ["parallel", "mesh", "data"], 8),
        ("init_from.workdir", "runs/a", ["init_from", "workdir"], "runs/a"),
        ("compile_cache", "None", ["compile_cache"], None),
        ("cache", "none", ["cache"], "none"),
        ("total", "None", ["total"], None),
        ("note", "a=b", ["note"], "a=b"),
        ("note", "", ["note"], ""),
    ],
)
def test_an_override_sets_one_value(key, text, path, expected):
    changed, untouched = values(), values()
    command_line.override(changed, key, text)
    holder, original = changed, untouched
    for part in path[:-1]:
        holder = holder[part]
    assert holder[path[-1]] == expected
    assert type(holder[path[-1]]) is type(expected)
    others = [name for name in original if name != path[0]]
    assert {name: changed[name] for name in others} == {name: original[name] for name in others}


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("seed", "0.5", "--config.seed=0.5 is of type float, expected int, as in 0"),
        ("seed", "true", "is of type bool, expected int"),
        ("seed", "zero", "--config.seed=zero is of type str, expected int, as in 0"),
        ("optimizer.learning_rate", "fast", "is of type str, expected float, as in 0.003"),
        ("optimizer.nesterov", "1", "is of type int, expected bool, as in False"),
        ("optimizer.betas", "0.9", "is of type float, expected list"),
        ("optimizer", "adam", "is of type str, expected dict"),
        ("augment", "flip_lr", "is of type str, expected list"),
        ("augment.2.padding", "1", r"'2' is not an index of this list: \(valid: 0, 1\)"),
        ("augment.-1.padding", "1", "'-1' is not an index of this list"),
        ("augment.first.padding", "1", "'first' is not an index of this list"),
        ("seed.x", "1", "--config.seed.x: 0 is a plain value and has no 'x'"),
        ("total.x.y", "1", "'40 epochs' is a plain value and has no 'x'"),
    ],
)
def test_an_override_that_does_not_fit_changes_nothing(key, text, message):
    changed = values()
    with pytest.raises(ConfigError, match=message):
        command_line.override(changed, key, text)
    assert changed == values()


def test_the_default_recipe_needs_no_arguments(asked):
    request = asked()
    assert request.values["dataset"]["name"] == "digits"
    assert request.identity["path"] == "configs/cnn/digits.py"
    assert request.identity["overrides"] == {}
    assert str(request.workdir) == "runs/cnn-digits"


def test_values_are_written_with_or_without_an_equals_sign(asked, tmp_path):
    one = asked(f"--workdir={tmp_path}", "--config.seed=-3", "--config.total=1 epoch")
    two = asked("--config.seed", "-3", "--workdir", tmp_path, "-config.total", "1 epoch")
    assert one.values == two.values
    assert one.workdir == two.workdir == tmp_path
    assert (one.values["seed"], one.values["total"]) == (-3, "1 epoch")


def test_the_last_of_two_overrides_holds(asked):
    assert asked("--config.seed=1", "--config.seed=2").values["seed"] == 2


def test_variants(asked):
    first, named = asked(f"--config={CIFAR}"), asked(f"--config={CIFAR}:resnet56")
    assert first.identity["variant"] == "resnet20"
    assert first.values == asked(f"--config={CIFAR}:").values
    assert first.values == asked(f"--config={CIFAR}:resnet20").values
    assert named.values["model"]["name"] == "resnet.resnet56"
    assert str(named.workdir) == "runs/resnet-cifar10-resnet56"


def test_a_home_directory_is_found(asked, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert asked("--workdir=~/run").workdir == tmp_path / "run"


def test_every_set_of_overrides_has_a_directory_of_its_own(asked):
    arguments = ["--config.total=1 epoch", "--config.optimizer.learning_rate=0.1"]
    request = asked(*arguments)
    assert str(request.workdir) == "runs/cnn-digits-optimizer.learning_rate=0.1-total=1_epoch"
    assert request.workdir == asked(*reversed(arguments)).workdir
    many = [f"--config.dataset.data_dir=/{'x' * 300}{end}" for end in "ab"]
    one, two = (asked(argument).workdir for argument in many)
    assert one != two
    assert len(one.name) < 150


def test_the_command_can_be_typed_again(asked):
    arguments = ["--config.total=1 epoch", "--config.dataset.train=train[:10%]", "--config.seed=1"]
    command = asked(*arguments).identity["command"]
    code = "import shlex, sys; print(shlex.split(sys.argv[1]))"
    parsed = subprocess.run(
        [sys.executable, "-c", code, command], capture_output=True, text=True, check=True
    )
    assert parsed.stdout.strip() == str(["python", "-m", "experiments.train", *arguments])


def test_a_config_of_ones_own(asked, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("def get_config(variant=''):\n    return {'seed': 4, 'widths': (1, 2)}\n")
    request = asked(f"--config={path}", "--config.widths=[3]")
    assert request.values == {"seed": 4, "widths": [3]}
    assert request.identity["path"] == str(path)


def test_messages_of_libraries_stay_out(program, caplog):
    program("train", "--config=nowhere")
    record = logging.get_absl_logger().makeRecord
    kept = [
        logging.get_absl_logger().filter(record("absl", 30, path, 1, "message", (), None))
        for path in ("/site-packages/orbax/checkpoint/checkpointer.py", "/library/run/loop.py")
    ]
    assert [bool(each) for each in kept] == [False, True]


def test_flags_are_left_as_they_were(program):
    before = set(flags.FLAGS)
    program("generate", "--help")
    program("train", "--config=nowhere")
    assert not {"num", "workdir"} & (set(flags.FLAGS) - before)
