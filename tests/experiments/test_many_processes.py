"""Runs of several processes: equal to one process, stopped and killed together, brought back."""

import json
import re
import signal
import time

import numpy as np
import pytest

from library.run import checkpoints
from tests import tiny
from tests.run.test_skipped import config as small_config
from tests.run.test_skipped import damaged
from tests.runs import TINY, check_same, finished, outcome, rows, saved_steps
from tests.trust import AS_IF_LEFT_ALONE, RESUMED

TWO = ("--on=local", "--processes=2")
FOUR = ("--on=local", "--processes=4")


@pytest.fixture(scope="module")
def undisturbed(launch, tmp_path_factory):
    """The workdir of a run of two processes that nothing happened to."""
    return finished(launch, tmp_path_factory, *TINY, flags=TWO)


@pytest.mark.full
def test_params_split_over_two_processes_train_as_in_one(launch, start, tmp_path):
    """Each of two processes has half of the mesh's first axis; heads are split over the second."""
    given = (
        *(flag for flag in TINY if "model" not in flag),
        f"--config.model={tiny.VIT}",
        "--config.parallel.rules=transformer",
        "--config.parallel.mesh.fsdp=2",
        "--config.parallel.mesh.tensor=2",
        "--config.total=30 steps",
    )
    two = launch(f"--workdir={tmp_path}/two", *given, flags=TWO, devices=2).ended()
    one = start("train", f"--workdir={tmp_path}/one", *given, devices=4).ended()
    assert (one.code, two.code) == (0, 0), (one, two)
    ours, theirs = rows(tmp_path / "two"), rows(tmp_path / "one")
    assert len(ours) == len(theirs) == 6
    for row, other in zip(ours, theirs):
        for name in {"train/loss", "test/loss", "test_ema/loss"} & {*row, *other}:
            assert row[name] == pytest.approx(other[name], rel=1e-5)
    two, one = (checkpoints.load(tmp_path / name)[1] for name in ("two", "one"))
    assert {k: x.shape for k, x in two.items()} == {k: x.shape for k, x in one.items()}


def test_two_processes_are_one_with_two_devices(start, undisturbed, tmp_path):
    alone = start("train", f"--workdir={tmp_path}/run", *TINY, devices=2).ended()
    assert alone.code == 0, alone
    check_same(undisturbed, tmp_path / "run")
    assert len(rows(undisturbed)) == 12


@pytest.mark.full
def test_two_processes_make_many_steps_a_call(launch, start, tmp_path):
    given = (*TINY, "--config.steps_per_call=4")
    two = launch(f"--workdir={tmp_path}/two", *given, flags=TWO).ended()
    one = start("train", f"--workdir={tmp_path}/one", *given, devices=2).ended()
    assert (one.code, two.code) == (0, 0), (one, two)
    check_same(tmp_path / "two", tmp_path / "one")


@pytest.mark.full
def test_four_processes_are_one_with_four_devices(launch, start, tmp_path):
    for name, run in (
        ("one", start("train", f"--workdir={tmp_path}/one", *TINY, devices=4)),
        ("four", launch(f"--workdir={tmp_path}/four", *TINY, flags=FOUR)),
    ):
        assert run.ended().code == 0, name
    one, four = rows(tmp_path / "one"), rows(tmp_path / "four")
    assert [row["step"] for row in four] == [row["step"] for row in one]
    for ours, theirs in zip(four, one):
        assert ours["train/loss"] == pytest.approx(theirs["train/loss"], rel=1e-5)


@pytest.mark.trust("SIGTERM to one of two processes", AS_IF_LEFT_ALONE)
@pytest.mark.full
@pytest.mark.parametrize("rank", [0, 1])
def test_a_signal_to_one_process_stops_all_and_loses_nothing(launch, tmp_path, undisturbed, rank):
    workdir = tmp_path / "run"
    strike = ("library.run.loop:_Run._at", 18, 0, "SIGTERM")
    ended = launch(f"--workdir={workdir}", *TINY, flags=TWO, strike=strike, struck=rank).ended()
    assert ended.code == 75, ended
    assert "stopped and saved; run the same command again" in ended.out
    assert saved_steps(workdir)[-1] >= 18
    ended = launch(f"--workdir={workdir}", *TINY, flags=TWO).ended()
    assert ended.code == 0, ended
    check_same(workdir, undisturbed)


@pytest.fixture
def heard():
    """Lets programs that a test starts hear SIGHUP, which a suite under nohup ignores."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.trust("SIGHUP and SIGTERM to the launcher of two processes", AS_IF_LEFT_ALONE)
@pytest.mark.full
@pytest.mark.parametrize("name", ["SIGHUP", "SIGTERM"])
def test_a_signal_to_the_launcher_stops_all_and_loses_nothing(
    launch, tmp_path, undisturbed, heard, name
):
    workdir = tmp_path / "run"
    strike = ("library.run.loop:_Run._at", 18, 0, f"^{name}")
    ended = launch(f"--workdir={workdir}", *TINY, flags=TWO, strike=strike, struck=1).ended()
    assert ended.code == 75, ended
    assert "stopped and saved; run the same command again" in ended.out
    assert saved_steps(workdir)[-1] >= 18
    ended = launch(f"--workdir={workdir}", *TINY, flags=TWO).ended()
    assert ended.code == 0, ended
    check_same(workdir, undisturbed)


@pytest.mark.trust("SIGKILL of one of two processes in step, save and evaluation", RESUMED)
@pytest.mark.full
@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize(
    "moment",
    [
        ("library.run.loop:_Run._at", 23, 0),
        ("library.run.checkpoints:Checkpoints.save", 2, 0),
        ("library.run.checkpoints:Checkpoints.save", 2, 0.02),
        ("library.run.evaluating:measured", 2, 0),
    ],
)
def test_a_process_that_is_killed_ends_the_others(launch, tmp_path, undisturbed, rank, moment):
    workdir, strike = tmp_path / "run", (*moment, "SIGKILL")
    begun = time.monotonic()
    ended = launch(f"--workdir={workdir}", *TINY, flags=TWO, strike=strike, struck=rank).ended(180)
    assert ended.code == 128 + signal.SIGKILL
    assert f"process {rank} of 2 failed (killed by SIGKILL); the others were ended" in ended.out
    assert time.monotonic() - begun < 120
    ended = launch(f"--workdir={workdir}", *TINY, flags=TWO).ended()
    assert ended.code == 0, ended
    check_same(workdir, undisturbed)


@pytest.mark.trust("SIGSTOP of one of two processes", RESUMED)
@pytest.mark.full
def test_a_process_that_is_stopped_ends_the_others(launch, tmp_path, undisturbed):
    workdir = tmp_path / "run"
    strike = ("library.run.loop:_Run._at", 23, 0, "SIGSTOP")
    begun = time.monotonic()
    ended = launch(f"--workdir={workdir}", *TINY, flags=TWO, strike=strike, struck=1).ended(240)
    assert ended.code not in (0, 75)
    assert time.monotonic() - begun < 180
    ended = launch(f"--workdir={workdir}", *TINY, flags=TWO).ended()
    assert ended.code == 0, ended
    check_same(workdir, undisturbed)


@pytest.mark.trust(
    "8 devices, then 4, then two processes of 2, then 1", "losses as on one device, to 1e-5"
)
@pytest.mark.full
def test_a_run_goes_on_on_other_machines(launch, start, tmp_path):
    """Eight devices, then four, then two processes of two, then one: each for fifteen steps."""
    workdir, strike = tmp_path / "run", ("library.run.loop:_Run._at", 15, 0, "SIGTERM")
    given = (f"--workdir={workdir}", *TINY)
    assert start("train", *given, devices=8, strike=strike).ended().code == 75
    assert start("train", *given, devices=4, strike=strike).ended().code == 75
    assert launch(*given, flags=TWO, devices=2, strike=strike).ended().code == 75
    assert start("train", *given).ended().code == 0
    alone = start("train", f"--workdir={tmp_path}/alone", *TINY).ended()
    assert alone.code == 0, alone
    ours, theirs = rows(workdir), rows(tmp_path / "alone")
    assert [row["step"] for row in ours] == [row["step"] for row in theirs]
    for row, other in zip(ours, theirs):
        assert row["train/loss"] == pytest.approx(other["train/loss"], rel=1e-5)


SPLIT = (
    *TINY,
    "--config.parallel.rules=transformer",
    "--config.parallel.mesh.data=1",
    "--config.parallel.mesh.tensor=2",
)


@pytest.mark.full
def test_params_split_over_processes_are_saved_and_restored(launch, start, tmp_path):
    """Two processes, one of two devices, two processes; then two that evaluate and predict."""
    workdir, strike = tmp_path / "run", ("library.run.loop:_Run._at", 18, 0, "SIGTERM")
    given = (f"--workdir={workdir}", *SPLIT)
    assert launch(*given, flags=TWO, strike=strike).ended().code == 75
    assert start("train", *given, devices=2, strike=strike).ended().code == 75
    assert launch(*given, flags=TWO).ended().code == 0
    alone = start("train", f"--workdir={tmp_path}/alone", *SPLIT, devices=2).ended()
    assert alone.code == 0, alone
    ours, theirs = rows(workdir), rows(tmp_path / "alone")
    assert [row["step"] for row in ours] == [row["step"] for row in theirs]
    for row, other in zip(ours, theirs):
        for name in {"train/loss", "test/loss", "test_ema/loss"} & set(row):
            assert row[name] == pytest.approx(other[name], rel=1e-5)
    asked = (("evaluate", ()), ("generate", ("--num=70",)))
    for program, more in asked:
        flags = (*TWO, f"--program={program}")
        ended = launch(f"--workdir={workdir}", *more, flags=flags).ended()
        assert ended.code == 0, ended
    found = json.loads((workdir / "evaluation-latest.json").read_text())
    assert found["test/loss"] == pytest.approx(rows(workdir)[-1]["test/loss"], rel=1e-5)
    several = json.loads((workdir / "generated" / "predictions.json").read_text())
    start("generate", f"--workdir={workdir}", "--num=70", devices=2).ended()
    one = json.loads((workdir / "generated" / "predictions.json").read_text())
    assert len(one) == 70
    assert several.keys() == one.keys()
    for name, each in one.items():
        assert several[name]["label"] == each["label"]
        assert several[name]["probabilities"] == pytest.approx(each["probabilities"], rel=1e-4)


@pytest.mark.full
def test_what_either_of_two_processes_skips_is_listed_and_told_by_the_first(launch, tmp_path):
    photos, workdir = damaged(tmp_path / "photos"), tmp_path / "run"
    values = {**small_config(photos), "total": "10 steps", "log_every": "5 steps"}
    values["evaluate"] = {"test": {"kind": "metrics", "every": "5 steps"}}
    config = tmp_path / "config.py"
    config.write_text(f"def get_config():\n    return {values!r}\n")
    ended = launch(f"--config={config}", f"--workdir={workdir}", flags=TWO).ended()
    assert ended.code == 0, ended
    held = json.loads((workdir / "skipped.json").read_text())
    assert {name: len(found["reasons"]) for name, found in held.items()} == {"train": 1, "test": 6}
    for part in ("1 of 20 examples of train were", "6 of 14 examples of test were skipped;"):
        assert ended.out.count(f"warning: {part}") == 1


@pytest.mark.full
def test_what_is_restored_elsewhere_is_what_was_saved(launch, start, tmp_path):
    workdir = tmp_path / "run"
    given = (f"--workdir={workdir}", *TINY, "--config.total=30 steps")
    assert launch(*given, flags=TWO, devices=2).ended().code == 0
    step, saved = checkpoints.load(workdir)
    assert step == 30
    ended = start("evaluate", f"--workdir={workdir}").ended()
    assert ended.code == 0, ended
    found = json.loads((workdir / "evaluation-latest.json").read_text())
    assert found["test/accuracy"] == rows(workdir)[-1]["test/accuracy"]
    assert found["test/loss"] == pytest.approx(rows(workdir)[-1]["test/loss"], rel=1e-5)
    assert all(np.isfinite(leaf).all() for leaf in saved.values() if leaf.dtype == np.float32)


@pytest.mark.trust("a flipped bit in the newest checkpoint of two processes", AS_IF_LEFT_ALONE)
@pytest.mark.full
def test_a_damaged_checkpoint_is_set_aside_by_all(launch, tmp_path, undisturbed):
    workdir = tmp_path / "run"
    strike = ("library.run.loop:_Run._at", 40, 0, "SIGTERM")
    launch(f"--workdir={workdir}", *TINY, flags=TWO, strike=strike).ended()
    before, last = saved_steps(workdir)
    newest = workdir / "checkpoints" / "latest" / str(last)
    largest = max((p for p in newest.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)
    ended = launch(f"--workdir={workdir}", *TINY, flags=TWO).ended()
    assert ended.code == 0, ended
    assert f"resuming at step {before}\n" in ended.out
    assert (workdir / "checkpoints" / "damaged" / newest.name).is_dir()
    assert outcome(workdir) == outcome(undisturbed)


@pytest.mark.full
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("--config.dataset.batch_size=15", "batch_size=15 does not divide over 2 devices: try 14"),
        ("--config.parallel.mesh.tensor=4", "multiplies to 4, but there are 2 devices"),
    ],
)
def test_a_config_that_does_not_fit_ends_all_processes(launch, tmp_path, given, message):
    ended = launch(f"--workdir={tmp_path}/run", given, flags=TWO).ended(120)
    assert ended.code == 2
    assert message in ended.out
    assert "exit code 2" in ended.out
    assert not (tmp_path / "run").exists()


@pytest.mark.full
def test_a_config_that_is_not_understood_starts_no_process(launch, tmp_path):
    ended = launch(f"--workdir={tmp_path}/run", "--config.modell.x=1", flags=TWO).ended(120)
    assert ended.code == 2
    assert "modell" in ended.err
    assert not ended.out


@pytest.mark.full
def test_runs_of_a_sweep_have_workdirs_of_their_own(launch, tmp_path):
    sweep = ("--sweep=seed=0,1;optimizer.learning_rate=0.01", f"--root={tmp_path}", "--at_once=2")
    ended = launch(*TINY, "--config.total=10 steps", flags=("--on=local", *sweep)).ended()
    assert ended.code == 0, ended
    names = [f"seed={seed},learning_rate=0.01" for seed in (0, 1)]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    for seed, name in enumerate(names):
        assert json.loads((tmp_path / name / "config.json").read_text())["seed"] == seed
        assert re.search(rf"^{re.escape(name)}: step 10/10", ended.out, re.MULTILINE)
