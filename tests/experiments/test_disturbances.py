"""Whole runs in a world that misbehaves: they end as others do, or say clearly why not."""

import fcntl
import functools
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import termios
import time

import pytest

from tests.experiments.conftest import ROOT, _environment
from tests.runs import TINY, check_same, finished, saved_steps
from tests.trust import AS_IF_LEFT_ALONE, RESUMED

pytestmark = pytest.mark.full
HOST = (*TINY, "--config.dataset.cache=none")
TWO = ("--on=local", "--processes=2")


@pytest.fixture(scope="module")
def undisturbed(start, tmp_path_factory):
    return finished(functools.partial(start, "train"), tmp_path_factory, *HOST)


@pytest.mark.trust("a source that is slow", AS_IF_LEFT_ALONE)
def test_a_slow_source_changes_nothing(start, tmp_path, undisturbed):
    workdir = tmp_path / "run"
    ended = start("train", f"--workdir={workdir}", *HOST, disturbance="slow_source").ended()
    assert ended.code == 0, ended
    check_same(workdir, undisturbed)


@pytest.mark.trust("SIGSTOP for a minute", AS_IF_LEFT_ALONE)
def test_a_run_that_stands_still_for_a_minute_goes_on(start, tmp_path, undisturbed):
    process = start("train", f"--workdir={tmp_path}/run", *HOST)
    while "step 5/60" not in process.out and process.popen.poll() is None:
        time.sleep(0.01)
    process.popen.send_signal(signal.SIGSTOP)
    time.sleep(60)
    assert process.popen.poll() is None
    process.popen.send_signal(signal.SIGCONT)
    ended = process.ended()
    assert ended.code == 0, ended
    check_same(tmp_path / "run", undisturbed)


@pytest.mark.trust(
    "a clock that jumps by a day, back and forth", f"{AS_IF_LEFT_ALONE}; or {RESUMED}"
)
def test_a_clock_that_jumps_loses_nothing(start, tmp_path, undisturbed):
    workdir = tmp_path / "run"
    ended = start("train", f"--workdir={workdir}", *HOST, disturbance="clock").ended()
    if ended.code:
        # Orbax counts the day that a save seems to take.
        assert ended.code == 1
        assert re.search(r"error: the checkpoint of step \d+ could not be written", ended.out)
        assert "Earlier checkpoints are intact" in ended.out
        ended = start("train", f"--workdir={workdir}", *HOST).ended()
        assert ended.code == 0, ended
    check_same(workdir, undisturbed)


@pytest.mark.trust("a source that fails", RESUMED)
def test_a_source_that_fails_ends_the_run_and_it_goes_on_later(start, tmp_path, undisturbed):
    workdir = tmp_path / "run"
    ended = start("train", f"--workdir={workdir}", *HOST, disturbance="failing_source").ended()
    assert ended.code == 1
    assert re.search(r"^error: .*Input/output error", ended.out, re.MULTILINE)
    assert "Traceback" not in ended.out + ended.err
    # Position 333 is of step 21, and loaded a few steps ahead.
    assert 15 < saved_steps(workdir)[-1] < 21
    ended = start("train", f"--workdir={workdir}", *HOST).ended()
    assert ended.code == 0, ended
    check_same(workdir, undisturbed)


@pytest.mark.trust("NaN in batch, loss or gradient on one of two processes", RESUMED)
@pytest.mark.parametrize(
    ("disturbance", "named"),
    [
        ("nan_in_batch", "loss, params/"),
        ("nan_in_loss", "loss"),
        ("nan_in_gradient", "params/"),
    ],
)
def test_a_number_that_is_none_on_one_process_of_two(
    launch, tmp_path, undisturbed_two, disturbance, named
):
    given = (f"--workdir={tmp_path}/run", *HOST)
    ended = launch(*given, flags=TWO, disturbance=disturbance).ended()
    assert ended.code == 1, ended
    # Position 333 is of step 21, and of the second process's half.
    said = re.search(r"error: step 21 is not finite in (\S+).*", ended.out + ended.err)
    assert said, ended
    assert named.startswith(said[1]) or said[1].startswith(named), said[0]
    assert "the state after step 20 is saved" in " ".join((ended.out + ended.err).split())
    assert saved_steps(tmp_path / "run")[-1] == 20
    ended = launch(*given, flags=TWO).ended()
    assert ended.code == 0, ended
    check_same(tmp_path / "run", undisturbed_two)


@pytest.fixture(scope="module")
def undisturbed_two(launch, tmp_path_factory):
    return finished(launch, tmp_path_factory, *HOST, flags=TWO)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_signal_in_an_evaluation_stops_all_processes_there(
    launch, tmp_path, undisturbed_two, rank
):
    given = (f"--workdir={tmp_path}/run", *HOST)
    strike = ("library.run.evaluating:measured", 1, 0, "SIGTERM")
    ended = launch(*given, flags=TWO, strike=strike, struck=rank).ended()
    assert ended.code == 75, ended
    # The evaluation of step 20 is left for later, or the signal came through after its end.
    assert 20 <= saved_steps(tmp_path / "run")[-1] <= 23
    ended = launch(*given, flags=TWO).ended()
    assert ended.code == 0, ended
    check_same(tmp_path / "run", undisturbed_two)


def terminal():
    """Takes the terminal that is its input for its own, and hears of its end."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_a_terminal_that_goes_away_costs_nothing(start, tmp_path, undisturbed):
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments.train", f"--workdir={tmp_path}/run", *HOST],
        cwd=ROOT,
        env={**os.environ, **_environment(1), "TERM": "xterm"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=terminal,
    )
    os.close(slave)
    said = b""
    while b"first step done" not in said:
        said += os.read(master, 4096)
    os.close(master)
    assert process.wait(300) == 75
    assert saved_steps(tmp_path / "run")
    ended = start("train", f"--workdir={tmp_path}/run", *HOST).ended()
    assert ended.code == 0, ended
    check_same(tmp_path / "run", undisturbed)
    warned = json.loads((tmp_path / "run" / "summary.json").read_text())["warnings"]
    assert not warned or "can no longer be written" in warned[0]["text"]


def test_a_pipe_that_nobody_reads_costs_nothing(tmp_path, undisturbed):
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments.train", f"--workdir={tmp_path}/run", *HOST],
        cwd=ROOT,
        env={**os.environ, **_environment(1)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(300) == 0
    check_same(tmp_path / "run", undisturbed)
    (warned,) = json.loads((tmp_path / "run" / "summary.json").read_text())["warnings"]
    assert warned["text"] == "the output of the run can no longer be written: Broken pipe"


def test_a_second_start_is_refused_while_the_first_goes_on(start, tmp_path, undisturbed):
    first = start("train", f"--workdir={tmp_path}/run", *HOST, disturbance="slow_source")
    while "step 5/60" not in first.out and first.popen.poll() is None:
        time.sleep(0.01)
    second = start("train", f"--workdir={tmp_path}/run", *HOST).ended()
    assert second.code == 2
    assert f"belongs to a run in progress, process {first.popen.pid} on " in second.err
    assert second.err.count("\n") == 1
    ended = first.ended()
    assert ended.code == 0, ended
    check_same(tmp_path / "run", undisturbed)


@pytest.fixture
def read_only(tmp_path):
    """Makes a folder that cannot be written to, not even by the superuser; or skips the test."""
    mounted = []

    def mount(folder):
        command = ["mount", "--bind", "-o", "ro", str(folder), str(folder)]
        done = os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False)
        if not done or done.returncode:
            pytest.skip("mounting a folder read-only is not permitted here")
        subprocess.run(
            ["mount", "-o", "remount,bind,ro", str(folder)], capture_output=True, check=False
        )
        mounted.append(folder)

    def unmount():
        while mounted:
            subprocess.run(["umount", str(mounted.pop())], check=True)

    mount.undo = unmount
    yield mount
    unmount()


@pytest.mark.trust("a workdir that cannot be written", RESUMED)
def test_a_workdir_that_cannot_be_written(start, tmp_path, undisturbed, read_only):
    parent = tmp_path / "disk"
    parent.mkdir()

    def check_refused():
        ended = start("train", f"--workdir={parent}/run", *HOST).ended()
        assert ended.code in (1, 2)
        assert "Read-only file system" in ended.out + ended.err
        assert "Traceback" not in ended.out + ended.err

    read_only(parent)
    check_refused()
    read_only.undo()
    # A run that was stopped, in a folder that has become read-only.
    strike = ("library.run.loop:_Run._at", 20, 0, "SIGTERM")
    assert start("train", f"--workdir={parent}/run", *HOST, strike=strike).ended().code == 75
    read_only(parent)
    check_refused()
    read_only.undo()
    ended = start("train", f"--workdir={parent}/run", *HOST).ended()
    assert ended.code == 0, ended
    check_same(parent / "run", undisturbed)
    shutil.rmtree(parent)
