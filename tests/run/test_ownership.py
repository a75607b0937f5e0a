"""A workdir has one owner; a dead one is followed, a living one is not."""

import contextlib
import io
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console

from library.config import ConfigError
from library.reporting.runs import read_rows
from library.run import ownership, session
from library.run.clock import Clock
from tests import tiny


def test_an_owner_elsewhere_counts_as_dead_after_three_minutes():
    assert ownership.STALE == 180
    # Two heartbeats may fail before the third, as on a file system that is busy.
    assert ownership.HEARTBEAT < ownership.STALE / 3


@pytest.fixture
def quick(monkeypatch):
    """Hearts beat, and stop, within a second."""
    monkeypatch.setattr(ownership, "HEARTBEAT", 0.05)
    monkeypatch.setattr(ownership, "STALE", 0.4)
    monkeypatch.setattr(ownership, "_LOOK", 0.02)


def owner(workdir):
    return json.loads((workdir / ownership.NAME).read_text())


def record(workdir, **changes):
    """Writes another owner than this process, by default another run on this system."""
    found = {**ownership._this_process(), "token": "theirs", **changes}
    workdir.mkdir(exist_ok=True)
    (workdir / ownership.NAME).write_text(json.dumps(found))
    return found


def refused(workdir, say=print):
    with pytest.raises(ConfigError) as caught, ownership.owning(workdir, say):
        pass
    return str(caught.value)


def wait(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextlib.contextmanager
def another_process():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_workdir_is_owned_as_long_as_the_run_lasts(tmp_path):
    workdir = tmp_path / "deep" / "run"
    with ownership.owning(workdir, print):
        assert owner(workdir)["pid"] == os.getpid()
        assert [path.name for path in workdir.iterdir()] == [ownership.NAME]
    assert not list(workdir.iterdir())
    with pytest.raises(SystemExit), ownership.owning(workdir, print):
        sys.exit(75)
    assert not list(workdir.iterdir())


def test_a_second_start_is_refused_and_touches_nothing(tmp_path, monkeypatch):
    tiny.serve(monkeypatch, train=tiny.arrays(48))
    with ownership.owning(tmp_path, print):
        content = (tmp_path / ownership.NAME).read_bytes()
        console = Console(file=io.StringIO(), width=1000)
        with pytest.raises(ConfigError) as caught:
            session.train(tiny.config(), {}, tmp_path, Clock(), console)
        said = str(caught.value)
        assert f"process {os.getpid()} on {owner(tmp_path)['host']}" in said
        assert "\n" not in said
        assert [path.name for path in tmp_path.iterdir()] == [ownership.NAME]
        assert (tmp_path / ownership.NAME).read_bytes() == content
    assert session.train(tiny.config(), {}, tmp_path, Clock(), console) == 0
    assert len(read_rows(tmp_path / "metrics.jsonl").rows) == 4
    assert not (tmp_path / ownership.NAME).exists()


def test_an_owner_that_died_here_is_followed_at_once(tmp_path):
    with another_process() as process:
        started = ownership._started(process.pid)
        record(tmp_path, pid=process.pid, started=started)
        assert f"process {process.pid} on" in refused(tmp_path)
        # A later process of the same number is another one.
        record(tmp_path, pid=process.pid, started="1")
        with ownership.owning(tmp_path, pytest.fail):
            assert owner(tmp_path)["pid"] == os.getpid()
        record(tmp_path, pid=process.pid, started=started)
        process.kill()
        # Dead, and nobody has waited for it yet.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        with ownership.owning(tmp_path, pytest.fail):
            assert owner(tmp_path)["pid"] == os.getpid()
    assert not list(tmp_path.iterdir())


def test_an_owner_elsewhere_is_dead_once_its_heart_has_stopped(tmp_path, quick):
    record(tmp_path, place=["elsewhere"], host="elsewhere")
    said, begun = [], time.monotonic()
    with ownership.owning(tmp_path, said.append):
        assert owner(tmp_path)["pid"] == os.getpid()
    assert time.monotonic() - begun > 0.1
    assert len(said) == 1
    assert "waits up to 0 s for the run that may still own it" in said[0]
    assert not list(tmp_path.iterdir())


def test_an_owner_elsewhere_whose_heart_beats_is_not_followed(tmp_path, quick, monkeypatch):
    monkeypatch.setattr(ownership, "HEARTBEAT", 60.0)
    path = tmp_path / ownership.NAME
    record(tmp_path, place=["elsewhere"], host="elsewhere", pid=7)
    os.utime(path, (0, 0))
    # Old as it looks, it is watched for a while: a clock may have been set.
    assert "process 7 on elsewhere" in refused(tmp_path, lambda line: os.utime(path, (1, 1)))
    assert owner(tmp_path)["host"] == "elsewhere"


@pytest.mark.parametrize("cut", [True, False])
def test_an_owner_that_is_not_whole_is_followed_after_a_while(tmp_path, quick, cut):
    place = ownership._this_process()["place"]
    (tmp_path / ownership.NAME).write_text('{"host": "els' if cut else json.dumps({"place": place}))
    with ownership.owning(tmp_path, lambda line: None):
        assert owner(tmp_path)["pid"] == os.getpid()


def test_of_two_that_follow_a_dead_owner_one_is_refused(tmp_path):
    # A number that no process has: the largest of Linux is below.
    dead = record(tmp_path, pid=2**22 + 1, started="1")
    first, second = (ownership._Owner(tmp_path) for _ in range(2))
    content = json.dumps(second._record).encode()
    assert first.claim() == (0, "")
    # The second one has looked before the first one came.
    assert second._replace(dead, content)[0] > 0
    assert "belongs to a run in progress" in second.claim()[1]
    assert owner(tmp_path) == first._record
    second.release()
    assert owner(tmp_path) == first._record
    first.release()
    assert not list(tmp_path.iterdir())


def test_a_run_whose_workdir_was_taken_leaves(tmp_path, quick, monkeypatch):
    left = threading.Event()
    monkeypatch.setattr(ownership, "_leave", lambda workdir, found: left.set())
    with ownership.owning(tmp_path, print):
        first = (tmp_path / ownership.NAME).stat().st_mtime_ns
        wait(lambda: (tmp_path / ownership.NAME).stat().st_mtime_ns != first)
        # Removed by hand, it is put there again.
        (tmp_path / ownership.NAME).unlink()
        wait((tmp_path / ownership.NAME).exists)
        record(tmp_path, pid=os.getppid(), started=ownership._started(os.getppid()))
        assert left.wait(30)
    # It is the other's.
    assert owner(tmp_path)["token"] == "theirs"


def test_all_processes_read_the_longest_refusal(monkeypatch):
    found = (0, "workdir /" + "\udcff" * 4095 + " is a file; name a directory")
    monkeypatch.setattr(ownership.jax, "process_count", lambda: 2)
    monkeypatch.setattr(ownership.multihost_utils, "broadcast_one_to_all", lambda told: told)
    assert ownership._shared(lambda: found) == found


def test_paths_that_can_be_no_directory(tmp_path):
    (tmp_path / "file").write_text("")
    assert refused(tmp_path / "file") == f"workdir {tmp_path}/file is a file; name a directory"
    assert "cannot be written: Not a directory" in refused(tmp_path / "file" / "below")
    assert "cannot be written: No such file" in refused(Path("/proc/nowhere/run"))
