"""A sweep runs each seed and fold once, goes on after failures, and says what has happened."""

import io
import json
import os
import signal
import statistics
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from experiments.config_files import load_config
from library.run import workdir
from tests.experiments import small_recipes

RECIPE = f"{small_recipes.__file__}:classifier"
METRIC = "test/accuracy"
ACCURACY = {"seed=0": 0.5, "seed=1": 0.75, "seed=2": 1.0}


@pytest.fixture
def world(monkeypatch, tmp_path):
    """Runs that only write what a finished run leaves: how each of them ends, and what started."""

    class World:
        root = tmp_path / "sweep"
        accuracy, ends, started = dict(ACCURACY), {}, []

    class Process:
        pid = 2**30

        def __init__(self, command, **options):
            given = dict(word.removeprefix("--").partition("=")[::2] for word in command[3:])
            self.folder = Path(given.pop("workdir"))
            self.config = given.pop("config")
            self.overrides = {k.removeprefix("config."): text for k, text in given.items()}
            self.asked = threading.Event()
            World.started.append(self)

        def poll(self):
            self.asked.set()

        def wait(self):
            end = World.ends.get(self.folder.name, 0)
            if end == 0:
                self.finish(World.accuracy[self.folder.name])
            return end(self) if callable(end) else end

        def finish(self, value):
            values = load_config(self.config, self.overrides)[0]
            workdir.open_workdir(self.folder, values, {})
            (self.folder / "metrics.jsonl").write_text(json.dumps({"step": 1, METRIC: value}))
            summary = {"status": "finished", "metrics": {METRIC: value}}
            (self.folder / "summary.json").write_text(json.dumps(summary))

    real = subprocess.Popen

    def popen(command, **options):
        return (Process if "experiments.train" in command else real)(command, **options)

    monkeypatch.setattr(subprocess, "Popen", popen)
    return World


@pytest.fixture
def sweep(program, world):
    def run(*given):
        world.started.clear()
        return program("sweep", f"--config={RECIPE}", f"--root={world.root}", *given)

    return run


def kept(world):
    return json.loads((world.root / "sweep.json").read_text())


def test_each_seed_has_its_run_and_all_have_one_result(sweep, world):
    given = ("--seeds=0,1,2", "--config.total=4 steps")
    ended = sweep(*given)
    assert (ended.code, ended.err) == (0, "")
    assert [p.folder for p in world.started] == [world.root / name for name in ACCURACY]
    assert [p.overrides for p in world.started] == [
        {"total": "4 steps", "seed": seed} for seed in "012"
    ]
    made = kept(world)
    assert (made["metric"], made["mean"], made["std"]) == (METRIC, 0.75, 0.25)
    assert (made["count"], made["min"], made["max"]) == (3, 0.5, 1.0)
    assert made["_config"]["overrides"] == {"total": "4 steps"}
    said = "test/accuracy 75.00 ± 25.00% over 3 seeds, from 50.00% to 100.00%"
    assert said in ended.out.splitlines()
    # The same command runs nothing again.
    again = sweep(*given)
    assert (again.code, world.started, kept(world)) == (0, [], made)
    # One more seed is one more run.
    world.accuracy["seed=3"] = 0.75
    assert sweep("--seeds=0,1,2,3", given[1]).code == 0
    assert [p.folder.name for p in world.started] == ["seed=3"]
    assert kept(world)["count"] == 4


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_run_that_fails_is_named_and_the_others_go_on(sweep, world, jobs):
    world.ends["seed=1"] = -signal.SIGKILL
    given = ("--seeds=0,1,2", f"--jobs={jobs}")
    ended = sweep(*given)
    assert (ended.code, ended.err) == (1, "failed: seed=1\n")
    assert "seed=1 failed (killed by SIGKILL)" in ended.out
    assert {p.folder.name for p in world.started} == set(ACCURACY)
    assert (kept(world)["count"], kept(world)["mean"]) == (2, 0.75)
    assert kept(world)["runs"]["seed=1"] == {"seed": 1, "fold": None, "exit_code": -9}
    # The same command runs the one that is missing.
    world.ends.clear()
    assert sweep(*given).code == 0
    assert [p.folder.name for p in world.started] == ["seed=1"]
    assert kept(world)["count"] == 3


def test_a_terminal_that_goes_away_costs_no_run(sweep, world, monkeypatch):
    class Gone(io.StringIO):
        def write(self, text):
            raise OSError(5, "Input/output error")

    world.ends["seed=1"] = 1
    with monkeypatch.context() as patched:
        for name in ("stdout", "stderr"):
            patched.setattr(sys, name, Gone())
        assert sweep("--seeds=0,1,2").code == 1
    assert [p.folder.name for p in world.started] == list(ACCURACY)
    assert (kept(world)["count"], kept(world)["mean"]) == (2, 0.75)


def test_a_signal_stops_the_runs_and_starts_no_more(sweep, world):
    def stopped(process):
        os.kill(os.getpid(), signal.SIGTERM)
        assert process.asked.wait(20)
        return -signal.SIGTERM

    world.ends["seed=1"] = stopped
    ended = sweep("--seeds=0,1,2")
    assert (ended.code, ended.err) == (75, "")
    assert [p.folder.name for p in world.started] == ["seed=0", "seed=1"]
    assert "stopped: seed=1, seed=2; run the same command again" in ended.out
    assert kept(world)["count"] == 1


def test_all_folds_run(sweep, world):
    accuracy = {f"fold={k},seed={s}": 0.25 + k / 4 + s / 8 for k in range(3) for s in (0, 1)}
    world.accuracy = accuracy
    ended = sweep("--folds=3", "--seeds=0,1")
    assert (ended.code, ended.err) == (0, "")
    assert [p.folder.name for p in world.started] == list(accuracy)
    assert world.started[-1].overrides == {
        "seed": "1",
        "dataset.folds.num": "3",
        "dataset.folds.fold": "2",
    }
    assert "over 3 folds x 2 seeds, from" in ended.out
    assert kept(world)["std"] == statistics.stdev(accuracy.values())
    stated = ("--config.dataset.folds={'num': 3}", "--seeds=0,1")
    assert (sweep(*stated).code, world.started) == (0, [])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((), "a sweep has two runs or more: add --seeds=0,1,2 or --folds=10"),
        (("--seeds=0,a",), "--seeds: 'a' is no seed: valid are 0 to 4294967295"),
        (("--seeds=1,1",), "--seeds=1,1: write different seeds"),
        (("--folds=0", "--seeds=0,1"), "--folds=0: valid are 2 or more"),
        (("--seeds=0,1", "--config.seed=3"), "--config.seed names one run of a sweep"),
        (("--folds=2", "--config.dataset.folds={'num': 3}"), "the recipe has 3 folds"),
        (("--seeds=0,1", "--config.totl=1 steps"), "did you mean 'total'"),
    ],
)
def test_what_is_no_sweep_is_refused_before_any_run(sweep, world, given, message):
    ended = sweep(*given)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert message in ended.err
    assert world.started == []
    assert not world.root.exists()


def test_runs_of_another_config_are_refused(sweep, world):
    assert sweep("--seeds=0,1").code == 0
    ended = sweep("--seeds=0,1,2", "--config.total=5 steps")
    assert ended.code == 2
    assert "belongs to another config" in ended.err
    assert world.started == []


@pytest.mark.full
def test_real_runs_of_two_folds(program, tmp_path):
    given = (f"--config={RECIPE}", f"--root={tmp_path}", "--config.total=4 steps", "--folds=2")
    ended = program("sweep", *given)
    assert ended.code == 0, ended
    made = json.loads((tmp_path / "sweep.json").read_text())
    sizes = {}
    for name in made["runs"]:
        data = json.loads((tmp_path / name / "data.json").read_text())
        sizes[name] = data["num_examples"]
        summary = json.loads((tmp_path / name / "summary.json").read_text())
        assert summary["metrics"][METRIC] == made["runs"][name]["value"]
    assert sizes == {"fold=0,seed=0": 250, "fold=1,seed=0": 250}
    record = program("report", f"--root={tmp_path}")
    assert record.code == 0
    assert "(2 folds)" in (tmp_path / "report.html").read_text()
