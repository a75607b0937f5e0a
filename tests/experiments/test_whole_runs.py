"""Whole runs: what is killed, stopped or resumed ends as what was left alone."""

import gzip
import json
import os
import re
import signal
import subprocess
import time

import numpy as np
import PIL.Image
import pytest

from library.run import checkpoints
from tests import often
from tests.runs import TINY, check_same, outcome, rows, saved_steps
from tests.trust import AS_IF_LEFT_ALONE, RESUMED

KILLED = -signal.SIGKILL
# Where a run is struck, as strike.py takes it: the function, its call, and a delay.
MOMENTS = {
    "compiling": ("library.run.stepping:step", 1, 0),
    "training": ("library.run.logger:Logger.write", 7, 0),
    "saving": ("library.run.checkpoints:Checkpoints.save", 2, 0.02),
    "evaluating": ("library.evaluation.metrics:summarize", 3, 0),
}
MORE_MOMENTS = {
    "initialising": ("library.run.stepping:initial_carry", 1, 0),
    "compiling, in XLA": ("library.run.stepping:step", 1, 0.4),
    "the first step": ("library.run.loop:_Run._at", 1, 0),
    "a step that is not logged": ("library.run.loop:_Run._at", 23, 0),
    "before a row": ("library.run.logger:Logger.write", 3, 0),
    "after a row, before its checkpoint": ("library.run.logger:Logger.sync", 3, 0),
    "the first save": ("library.run.checkpoints:Checkpoints.save", 1, 0.005),
    "a save, at once": ("library.run.checkpoints:Checkpoints.save", 3, 0),
    "a save, later": ("library.run.checkpoints:Checkpoints.save", 3, 0.1),
    "a save, done": ("library.run.checkpoints:Checkpoints.save", 3, 0.3),
    "before a checksum": ("library.run.checkpoints:_sign", 2, 0),
    "between the raw and the averaged params": ("library.evaluation.metrics:summarize", 2, 0),
    "before an evaluation": ("library.run.evaluating:measured", 2, 0),
    "the last save": ("library.run.checkpoints:Checkpoints.save", 4, 0.02),
    "the last pictures": ("library.run.artifacts:write", 1, 0),
    "before the summary": ("library.run.session:write_json", 1, 0),
    "before the report": ("library.reporting.report:write_report", 1, 0),
}


@pytest.fixture(scope="module")
def undisturbed(start, tmp_path_factory):
    """The workdir of a run that nothing happened to."""
    workdir = tmp_path_factory.mktemp("undisturbed") / "run"
    ended = start("train", f"--workdir={workdir}", *TINY).ended()
    assert ended.code == 0, ended
    return workdir


def test_an_undisturbed_run(undisturbed):
    found = outcome(undisturbed)
    assert found["status"] == "finished"
    assert [row["step"] for row in found["rows"]] == list(range(5, 61, 5))
    evaluated = [row["step"] for row in found["rows"] if "test/accuracy" in row]
    assert evaluated == [20, 40, 60]
    assert evaluated == [row["step"] for row in found["rows"] if "test_ema/accuracy" in row]
    assert found["checkpoints"]["latest"] == [45, 60]
    summary = json.loads((undisturbed / "summary.json").read_text())
    assert summary["train_step_compilations"] == 1
    assert summary["phases"].keys() >= {"import", "build", "data", "compile", "train", "evaluate"}
    assert sum(summary["phases"].values()) == pytest.approx(summary["wall_time"], abs=0.1)
    # The claim is of the recipe, which this run cuts short.
    assert summary["result"]["value"] == summary["metrics"]["test/accuracy"]
    assert summary["result"]["gap"] is None
    assert {"total", "dataset.train", "model.widths"} < {*summary["result"]["changed"]}
    assert not {"log_every", "checkpoint.every"} & {*summary["result"]["changed"]}
    assert (undisturbed / "report.html").stat().st_size > 10_000


def test_a_run_that_is_killed_while_it_saves(start, tmp_path, undisturbed):
    workdir, strike = tmp_path / "run", (*MOMENTS["saving"], "SIGKILL")
    assert start("train", f"--workdir={workdir}", *TINY, strike=strike).ended().code == KILLED
    ended = start("train", f"--workdir={workdir}", *TINY).ended()
    assert ended.code == 0, ended
    assert "resuming at step" in ended.out
    check_same(workdir, undisturbed)
    summary = json.loads((workdir / "summary.json").read_text())
    assert sum(summary["phases"].values()) == pytest.approx(summary["wall_time"], rel=0.01)
    # The kill came some steps after a checkpoint.
    assert summary["phases"]["lost"] > 0
    assert 0 < summary["goodput"] == summary["phases"]["train"] / summary["wall_time"] < 1


@pytest.mark.trust("SIGKILL in each part of a run", AS_IF_LEFT_ALONE)
@pytest.mark.full
@pytest.mark.parametrize("moment", [*MOMENTS, *MORE_MOMENTS])
def test_a_run_that_is_killed(start, tmp_path, undisturbed, moment):
    workdir, strike = tmp_path / "run", {**MOMENTS, **MORE_MOMENTS}[moment]
    process = start("train", f"--workdir={workdir}", *TINY, strike=(*strike, "SIGKILL"))
    assert process.ended().code == KILLED
    ended = start("train", f"--workdir={workdir}", *TINY).ended()
    assert ended.code == 0, ended
    check_same(workdir, undisturbed)


@pytest.mark.full
@pytest.mark.trust("SIGTERM and SIGINT", AS_IF_LEFT_ALONE)
def test_a_run_that_is_asked_to_stop(start, tmp_path, undisturbed):
    workdir = tmp_path / "run"
    # Neither is a step that is logged or saved.
    for number, name in ((18, "SIGTERM"), (42, "SIGINT")):
        calls = number - max(saved_steps(workdir), default=0) if workdir.exists() else number
        strike = ("library.run.loop:_Run._at", calls, 0, name)
        ended = start("train", f"--workdir={workdir}", *TINY, strike=strike).ended()
        assert ended.code == 75, ended
        hint = "\nstopping after this step; interrupt again to quit at once\n"
        assert ended.err == (hint if name == "SIGINT" else "")
        step = int(re.search(r"saved at step (\d+); run the same command again", ended.out)[1])
        assert number <= step <= number + 3
        assert saved_steps(workdir)[-1] == step
        assert not (workdir / "summary.json").exists()
    ended = start("train", f"--workdir={workdir}", *TINY).ended()
    assert ended.code == 0, ended
    assert f"resuming at step {step}" in ended.out
    check_same(workdir, undisturbed)


@pytest.mark.full
def test_a_second_interrupt_ends_the_run_at_once(start, tmp_path):
    strike = ("library.run.loop:_Run._at", 20, 0, "SIGINT,SIGINT")
    ended = start("train", f"--workdir={tmp_path}/run", *TINY, strike=strike).ended()
    assert ended.code == 1
    assert "step 15/60" in ended.out
    assert "step 20/60" not in ended.out
    assert 20 not in saved_steps(tmp_path / "run")


@pytest.mark.parametrize(("name", "code"), often.first(1, [("SIGTERM", 75), ("SIGINT", 130)]))
def test_a_signal_before_the_first_step_leaves_nothing_to_save(start, tmp_path, name, code):
    strike = ("library.run.data:Splits.__call__", 1, 0, name)
    ended = start("train", f"--workdir={tmp_path}/run", *TINY, strike=strike).ended()
    assert ended.code == code
    assert "Traceback" not in ended.err
    assert not (tmp_path / "run").exists()


@pytest.mark.trust("SIGTERM and SIGINT", AS_IF_LEFT_ALONE)
@pytest.mark.full
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_from_outside_at_any_time(start, tmp_path, undisturbed, name):
    workdir, codes = tmp_path / "run", []
    for delay in (0, 0.7, 0.1):
        process = start("train", f"--workdir={workdir}", *TINY)
        while "parameters" not in process.out and process.popen.poll() is None:
            time.sleep(0.01)
        time.sleep(delay)
        process.popen.send_signal(getattr(signal, name))
        codes.append(process.ended().code)
    assert set(codes) <= {0, 75, 130}
    ended = start("train", f"--workdir={workdir}", *TINY).ended()
    assert ended.code == 0, ended
    check_same(workdir, undisturbed)


@pytest.mark.full
def test_examples_that_are_loaded_by_the_host(start, tmp_path, undisturbed):
    hosts = (*TINY, "--config.dataset.cache=none")
    strike = (*MOMENTS["training"], "SIGKILL")
    for workers in (0, 2):
        workdir = tmp_path / f"run{workers}"
        arguments = (f"--workdir={workdir}", *hosts, f"--config.dataset.workers={workers}")
        assert start("train", *arguments, strike=strike).ended().code == KILLED
        ended = start("train", *arguments).ended()
        assert ended.code == 0, ended
        check_same(workdir, undisturbed)


@pytest.mark.full
def test_an_interrupt_from_a_keyboard_leaves_the_loading_processes_alone(start, tmp_path):
    hosts = ("--config.dataset.cache=none", "--config.dataset.workers=2")
    strike = ("library.run.loop:_Run._at", 18, 0, "+SIGINT")
    ended = start("train", f"--workdir={tmp_path}/run", *TINY, *hosts, strike=strike).ended()
    assert ended.code == 75, ended
    assert "KeyboardInterrupt" not in ended.err
    assert saved_steps(tmp_path / "run")[-1] == 18


def test_a_finished_run_is_not_run_again(program, undisturbed, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in undisturbed.iterdir()}
    command = [f"--workdir={undisturbed}", *TINY]
    ended = program("train", *command)
    assert ended.code == 0
    assert "holds a finished run of this config; nothing to do" in ended.out
    assert "test/accuracy" in ended.out
    changed = {
        path.name for path in undisturbed.iterdir() if path.stat().st_mtime_ns != before[path]
    }
    assert changed <= {"config.json"}


@pytest.mark.full
def test_pmap_over_eight_devices(start, tmp_path):
    command = [f"--workdir={tmp_path}/run", *TINY, "--config.parallel.strategy=pmap"]
    ended = start("train", *command, devices=8).ended()
    assert ended.code == 0, ended
    assert "on 8 cpu device(s)" in ended.out
    found = outcome(tmp_path / "run")
    assert [row["step"] for row in found["rows"]] == list(range(5, 61, 5))


@pytest.mark.trust("SIGKILL and SIGTERM on eight devices, jit and pmap", AS_IF_LEFT_ALONE)
@pytest.mark.full
@pytest.mark.parametrize("strategy", ["jit", "pmap"])
def test_a_run_on_eight_devices_that_is_killed_and_stopped(start, tmp_path, strategy):
    command = [*TINY, f"--config.parallel.strategy={strategy}"]
    left_alone = start("train", f"--workdir={tmp_path}/a", *command, devices=8).ended()
    assert left_alone.code == 0, left_alone
    command = [f"--workdir={tmp_path}/b", *command]
    strike = ("library.run.loop:_Run._at", 18, 0, "SIGTERM")
    assert start("train", *command, strike=strike, devices=8).ended().code == 75
    strike = (*MOMENTS["saving"], "SIGKILL")
    assert start("train", *command, strike=strike, devices=8).ended().code == KILLED
    ended = start("train", *command, devices=8).ended()
    assert ended.code == 0, ended
    check_same(tmp_path / "b", tmp_path / "a")


def test_evaluate_measures_what_the_run_measured(program, undisturbed):
    ended = program("evaluate", f"--workdir={undisturbed}")
    assert ended.code == 0, ended.err
    final = rows(undisturbed)[-1]
    found = json.loads((undisturbed / "evaluation-latest.json").read_text())
    assert found.pop("step") == 60
    for name, value in found.items():
        # Eight devices add up in another order than one.
        assert value == pytest.approx(final[name], rel=1e-5), name
        assert re.search(rf"^{name} +{value:.6f}$", ended.out, re.MULTILINE)
    assert {"test/accuracy", "test_ema/loss"} <= set(found)


def test_evaluate_the_best_on_another_split(program, undisturbed):
    arguments = ["--which=best", "--split=train[:50]", "--config.dataset.eval_batch_size=24"]
    ended = program("evaluate", f"--workdir={undisturbed}", *arguments)
    assert ended.code == 0, ended.err
    found = json.loads((undisturbed / "evaluation-best-train_50.json").read_text())
    assert [found["step"]] == outcome(undisturbed)["checkpoints"]["best"]
    assert (
        0
        < found["train[:50]/accuracy"] * 50
        == pytest.approx(round(found["train[:50]/accuracy"] * 50))
    )


def test_evaluate_refuses_what_does_not_fit_the_run(program, undisturbed):
    ended = program("evaluate", f"--workdir={undisturbed}", "--split=tset")
    assert ended.code == 2
    assert "unknown split 'tset' of digits: did you mean 'test'?" in ended.err
    ended = program("evaluate", f"--workdir={undisturbed}", "--config.model.widths=[4, 4]")
    assert ended.code == 2
    assert re.search(r"state/params/\w+/kernel is \(.*\) in .*, and \(.*\) here", ended.err)


def test_generate_shows_a_split(program, undisturbed):
    ended = program("generate", f"--workdir={undisturbed}", "--num=3", "--seed=1")
    assert ended.code == 0, ended.err
    table = json.loads((undisturbed / "generated" / "predictions.json").read_text())
    assert len(table) == 3
    for (name, found), line in zip(table.items(), ended.out.splitlines()):
        assert name.startswith("test[")
        assert len(found["probabilities"]) == 5
        assert line.startswith(f"{name}, true class {found['label']}: ")
    with PIL.Image.open(undisturbed / "generated" / "predictions.png") as picture:
        assert min(picture.size) > 100
    again = program("generate", f"--workdir={undisturbed}", "--num=3", "--seed=1")
    assert again.out == ended.out
    assert program("generate", f"--workdir={undisturbed}", "--num=3").out != ended.out


def test_generate_shows_files(program, undisturbed, tmp_path):
    paths = [tmp_path / name for name in ("a, or b.png", "b.bmp")]
    for number, path in enumerate(paths):
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
        PIL.Image.fromarray(pixels).save(path)
    ended = program("generate", f"--workdir={undisturbed}", *(f"--images={p}" for p in paths))
    assert ended.code == 0, ended.err
    shown = [line.partition(":")[0] for line in ended.out.splitlines()[:2]]
    assert shown == [str(path) for path in paths]
    table = json.loads((undisturbed / "generated" / "predictions.json").read_text())
    assert [found["label"] for found in table.values()] == [None, None]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--prompt=a"],
            "--prompt is not read with output 'probabilities' of task 'classification'",
        ),
        (["--class=1"], "--class is not read with output 'probabilities'"),
        (["--images={tmp}/text.png", "--split=test"], "--split is not read with output"),
        (
            ["--output=intermediates", "--split=test"],
            "'intermediates' is not an image: several arrays",
        ),
        (["--images={tmp}/a.png,{tmp}/b.png"], "no such image file: {tmp}/a.png, {tmp}/b.png"),
        (["--num=101"], "--num=101: split 'test' has 100 examples"),
        (["--split=valid"], "unknown split 'valid' of digits: (valid: train, test)"),
        (["--images={tmp}/a.png"], "no such image file: {tmp}/a.png"),
        (["--images={tmp}/text.png"], "{tmp}/text.png: "),
        (["--images={tmp}/large.png"], "large.png is 9x8x1 after preprocessing, but the model"),
    ],
)
def test_generate_refuses(program, undisturbed, tmp_path, arguments, message):
    (tmp_path / "text.png").write_text("no picture")
    PIL.Image.fromarray(np.zeros((9, 8), np.uint8)).save(tmp_path / "large.png")
    arguments = [argument.replace("{tmp}", str(tmp_path)) for argument in arguments]
    ended = program("generate", f"--workdir={undisturbed}", *arguments)
    assert ended.code == 2, ended
    assert message.replace("{tmp}", str(tmp_path)) in ended.err
    assert ended.err.count("\n") <= 2


@pytest.mark.full
def test_report_draws_again(program, undisturbed):
    report = undisturbed / "report.html"
    report.unlink()
    ended = program("report", f"--workdir={undisturbed}")
    assert ended.code == 0, ended.err
    assert ended.out.strip() == str(report)
    assert report.stat().st_size > 10_000


@pytest.mark.full
def test_a_report_that_is_missing_is_made(program, undisturbed):
    report = undisturbed / "report.html"
    report.unlink()
    assert program("train", f"--workdir={undisturbed}", *TINY).code == 0
    assert report.stat().st_size > 10_000


@pytest.mark.full
def test_fine_tuning_for_other_classes(program, undisturbed, tmp_path):
    generator = np.random.default_rng(0)
    for split, count in (("train", 16), ("test", 8)):
        for label in ("a", "b", "c"):
            folder = tmp_path / "images" / split / label
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(0, 256, (8, 8), np.uint8)
                PIL.Image.fromarray(pixels).save(folder / f"{number}.png")
    changes = {
        "total": "6 steps",
        "dataset.name": "folder",
        "dataset.data_dir": tmp_path / "images",
        "dataset.train": "train",
        "dataset.test": "test",
        "model.num_classes": 3,
        "init_from.workdir": undisturbed,
        "init_from.ema": True,
    }
    changed = [f"--config.{key}={value}" for key, value in changes.items()]
    ended = program("train", f"--workdir={tmp_path}/run", *TINY, *changed)
    assert ended.code == 0, ended
    lines = ended.out.splitlines()
    found = next(number for number, line in enumerate(lines) if line.startswith("started from"))
    assert re.search(r": (\d+) of (\d+) leaves$", lines[found])
    fresh = [line.split()[1] for line in lines if line.strip().startswith("fresh")]
    assert sorted(fresh) == ["params/head/bias", "params/head/kernel"]
    step, leaves = checkpoints.load(tmp_path / "run")
    assert step == 6
    assert leaves["state/params/head/kernel"].shape == (8, 3)


@pytest.mark.full
def test_a_checkpoint_that_cannot_be_written(program, tmp_path, monkeypatch):
    from orbax.checkpoint import CheckpointManager

    save, calls = CheckpointManager.save, []

    def full(manager, step, **arguments):
        calls.append(step)
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        return save(manager, step, **arguments)

    short = [*TINY, "--config.total=30 steps", "--config.checkpoint.best=None"]
    with monkeypatch.context() as patched:
        patched.setattr(CheckpointManager, "save", full)
        ended = program("train", f"--workdir={tmp_path}/run", *short)
    assert ended.code == 1
    assert "the checkpoint of step 30 could not be written" in ended.out
    assert "No space left on device" in ended.out
    assert "Earlier checkpoints are intact" in ended.out
    assert "Traceback" not in ended.out + ended.err
    assert checkpoints.load(tmp_path / "run")[0] == 15
    ended = program("train", f"--workdir={tmp_path}/run", *short)
    assert ended.code == 0, ended
    assert "resuming at step 15" in ended.out


@pytest.mark.trust("a full disk", RESUMED)
@pytest.mark.full
def test_a_disk_that_is_full(start, tmp_path):
    disk, wide = tmp_path / "disk", "--config.model.widths=[8, 16]"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=640k", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system is not permitted here")
    try:
        ended = start("train", f"--workdir={disk}/run", *TINY, wide).ended()
        assert ended.code == 1
        # Where exactly a save meets the end of the disk varies, and so does what it says of it.
        assert re.search(r"\nerror: .*could not be written .*\(0 MiB free\)", ended.out)
        assert "Traceback" not in ended.out
        steps = saved_steps(disk / "run")
        assert steps
        assert checkpoints.load(disk / "run")[0] == steps[-1]
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        ended = start("train", f"--workdir={disk}/run", *TINY, wide).ended()
        assert ended.code == 0, ended
        assert start("train", f"--workdir={tmp_path}/alone", *TINY, wide).ended().code == 0
        check_same(disk / "run", tmp_path / "alone")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.full
def test_a_trace_of_some_steps(start, tmp_path, undisturbed):
    workdir = tmp_path / "run"
    ended = start("train", f"--workdir={workdir}", "--profile=10:15", *TINY).ended()
    assert ended.code == 0, ended
    (trace,) = workdir.glob("profile/plugins/profile/*/perfetto_trace.json.gz")
    events = json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]
    assert len(events) > 100
    link = str(trace.relative_to(workdir))
    assert f'href="{link}"' in (workdir / "report.html").read_text()
    assert outcome(workdir) == outcome(undisturbed)
    ended = start("train", f"--workdir={tmp_path}/other", "--profile=59:62", *TINY).ended()
    assert ended.code == 2
    assert "--profile=59:62: the run has 60 steps" in ended.err
