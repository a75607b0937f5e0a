"""What Weights & Biases is handed, and what a run does without it."""

import sys
import types

import pytest

from library.config import ConfigError
from library.run.tracking import Tracker
from tests import tiny


class Handed:
    """Stands in for the package, and keeps what it is given."""

    def __init__(self):
        self.started, self.rows, self.ended = [], [], 0

    def module(self):
        def init(**options):
            self.started.append(options)
            return types.SimpleNamespace(log=self.log, finish=self.finish)

        return types.SimpleNamespace(init=init)

    def log(self, row, step):
        self.rows.append((step, row))

    def finish(self):
        self.ended += 1


@pytest.fixture
def handed(monkeypatch):
    found = Handed()
    monkeypatch.setitem(sys.modules, "wandb", found.module())
    return found


def test_a_run_hands_over_every_row_it_writes(handed, tmp_path, monkeypatch):
    tiny.serve(monkeypatch, train=tiny.arrays(48), test=tiny.arrays(20, seed=1))
    plan = tiny.plan_on(1, wandb=dict(project="p", tags=["a"]))
    tiny.run(plan, tmp_path / "run")
    (started,) = handed.started
    assert (started["project"], started["tags"], started["name"]) == ("p", ["a"], "run")
    assert started["resume"] == "allow"
    assert started["config"]["total"] == "12 steps"
    assert [step for step, _ in handed.rows] == [3, 6, 9, 12]
    assert "train/loss" in handed.rows[-1][1]
    assert handed.ended == 1


def test_a_workdir_is_one_run(handed, tmp_path):
    for folder in ("a", "a", "b"):
        Tracker("p", tmp_path / folder, {}, print)
    ids = [started["id"] for started in handed.started]
    assert ids[0] == ids[1] != ids[2]


def test_without_the_package_there_is_a_warning(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "wandb", None)
    said = []
    Tracker("p", tmp_path, {}, said.append).write(1, {"a": 1.0})
    assert said == ["wandb is not installed: rows go only to metrics.jsonl and TensorBoard"]


def test_what_it_says_when_it_does_not_start_is_a_warning(handed, monkeypatch, tmp_path):
    def init(**_):
        raise RuntimeError("no API key")

    monkeypatch.setattr(sys.modules["wandb"], "init", init)
    said = []
    Tracker("p", tmp_path, {}, said.append).close()
    assert "no API key" in said[0]


def test_nobody_is_asked_by_default(handed, tmp_path):
    Tracker(None, tmp_path, {}, print).write(1, {"a": 1.0})
    assert not handed.started


def test_an_argument_that_is_not_known():
    with pytest.raises(ConfigError, match="wandb 'projekt': did you mean 'project'"):
        tiny.plan_on(1, wandb={"projekt": "p"})
