"""Processes that decode live as long as the one that they work for."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
from library.data import orders, pipeline, sources

if __name__ == "__main__":
    source = sources.open_source("synthetic/8x4x1", "train[:64]")
    loader = pipeline.make_loader(source, lambda example, generator: example, seed=0)
    order = orders.shuffle(0)
    batches = pipeline.train_batches(loader, 16, order=order, workers=1, threads=1)
    held = next(batches)
    print("begun", flush=True)
    {then}
"""


def begin(then):
    command = [sys.executable, "-c", PROGRAM.format(then=then)]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout.readline() == "begun\n"
    return process


def members(group):
    """Returns the processes of a group that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its, *_ = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(its) == group and state not in "ZX":
            found.append(int(path.parent.name))
    return found


def segments(pids):
    """Returns the shared memory that processes have open."""
    lines = [line for pid in pids for line in Path(f"/proc/{pid}/maps").read_text().splitlines()]
    return {Path(line.split()[-1]) for line in lines if "/dev/shm/psm_" in line}


def wait(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="shared memory lies elsewhere")
def test_workers_and_their_memory_go_with_a_parent_that_is_killed():
    process = begin("import time; time.sleep(600)")
    try:
        pids = members(process.pid)
        assert len(pids) > 1
        held = segments(pids)
        assert held
        assert all(path.exists() for path in held)
        process.kill()
        process.wait()
        assert wait(lambda: not members(process.pid)), members(process.pid)
        assert not any(path.exists() for path in held)
    finally:
        for pid in members(process.pid):
            os.kill(pid, signal.SIGKILL)


def test_workers_leave_signals_to_their_parent_and_end_with_it():
    # Every process of a group is signalled by terminals and by many schedulers.
    then = "import os, signal; signal.signal(signal.SIGTERM, lambda *_: None)\n"
    then += "    os.killpg(0, signal.SIGTERM)\n"
    then += "    for _ in range(20): held = next(batches)\n    print('done', flush=True)"
    process = begin(then)
    out, _ = process.communicate(timeout=60)
    assert out == "done\n"
    assert process.returncode == 0
    assert wait(lambda: not members(process.pid)), members(process.pid)
