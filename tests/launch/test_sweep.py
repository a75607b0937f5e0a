"""What a sweep names, and what it refuses."""

import pytest

from launch import job, sweep
from library.config import ConfigError


def test_every_combination_is_a_run():
    found = sweep.points("optimizer.learning_rate=0.1,0.03; seed=0,1,2")
    assert len(found) == 6
    assert found[1] == sweep.Point(
        "learning_rate=0.1,seed=1", ("--config.optimizer.learning_rate=0.1", "--config.seed=1")
    )
    assert len({point.name for point in found}) == 6


def test_without_a_sweep_there_is_one_run_without_a_name():
    assert sweep.points(None) == [sweep.Point("", ())]


def test_commas_inside_brackets_and_quotes_belong_to_a_value():
    found = sweep.points("model.widths=[4, 8],[8, 16];total='1 epoch','2,5'")
    assert [point.overrides[0] for point in found[::2]] == [
        "--config.model.widths=[4, 8]",
        "--config.model.widths=[8, 16]",
    ]
    assert found[1].overrides[1] == "--config.total='2,5'"


def test_names_are_as_long_as_they_have_to_be():
    (point,) = sweep.points("a.rate=1;b.rate=2;b.c.momentum=3")
    assert point.name == "a.rate=1,b.rate=2,momentum=3"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed", "'seed' is not KEY=VALUE,VALUE"),
        ("seed=0;config.seed=1", "names 'seed' twice"),
        ("seed=0,,1", "has an empty value"),
        ("seed=", "has an empty value"),
        ("seed=1,1", "gives a value twice"),
        ("se ed=1", "'se ed=1' is not KEY=VALUE"),
        (";".join(f"k{i}=0,1" for i in range(10)), "names 1024 runs: valid are up to 1000"),
    ],
)
def test_what_is_no_sweep_is_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        sweep.points(text)


def test_values_that_make_one_folder_are_refused():
    with pytest.raises(ConfigError, match="two runs would be named 'total=1_epoch'"):
        sweep.points("total='1 epoch',\"1 epoch\"")


def test_each_run_has_its_own_workdir_and_command():
    points = sweep.points("seed=0,1")
    made = job.make_runs("experiments.train", ["--config=a.py"], points, "runs/s", "python")
    assert made[1].name == "seed=1"
    assert made[1].command == (
        *("python", "-m", "experiments.train", "--config=a.py"),
        *("--config.seed=1", "--workdir=runs/s/seed=1"),
    )


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--workdir=x", "--workdir names one run"),
        ("--config.seed=3", "is in --sweep and also after --"),
    ],
)
def test_what_a_sweep_sets_cannot_be_given_as_well(argument, message):
    with pytest.raises(ConfigError, match=message):
        job.make_runs("experiments.train", [argument], sweep.points("seed=0,1"), "r", "python")
