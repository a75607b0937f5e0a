"""Runs on this machine: all processes of a run together, some runs of a sweep at a time."""

import contextlib
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import IO, NamedTuple

from launch.job import Job, Run, shown
from library.output_streams import FaultTolerantStream
from library.parallel import processes

# Seconds for the other processes to end by themselves after one has failed.
GRACE = 20
# Seconds for the others to save after one has stopped and saved.
SAVING = 120


class Ended(NamedTuple):
    """How a run ended: its exit code and, if that is not 0, the reason."""

    code: int
    reason: str


def run(job: Job, *, at_once: int, out: IO[str] = sys.stdout) -> int:
    """Runs a job to its end and returns its exit code.

    It forwards a signal to stop to all processes. It shows the lines of process 0 as they are, and
    those of another process after its number. In a sweep each line starts with the name of its run.

    Args:
      job: the runs and their processes.
      at_once: number of runs of a sweep at the same time.
      out: the output.

    Returns:
      0 if all runs finished, 75 if some stopped and none failed, else the code of the first
      failure.
    """
    started: list[subprocess.Popen] = []
    lock = threading.Lock()
    stopping = threading.Event()
    # If the terminal goes away, the processes must not block on their output.
    out = FaultTolerantStream(out)

    def say(line: str) -> None:
        with lock:
            out.write(line)
            out.flush()

    def one(each: Run) -> Ended:
        if stopping.is_set():
            return Ended(processes.STOPPED, f"{each.name or job.name}: not started")
        return _run(each, job.processes, started, lock, say)

    with _forwarding_signals(started, lock, stopping), ThreadPoolExecutor(at_once) as pool:
        ended = list(pool.map(one, job.runs))
    for end in ended:
        if end.reason:
            say(f"{end.reason}\n")
    codes = [end.code for end in ended if end.code]
    failures = [code for code in codes if code != processes.STOPPED]
    return (failures or codes or [0])[0]


def preview(job: Job) -> str:
    """Returns the commands that `run` would start, with the variables of each."""
    lines = []
    for each in job.runs:
        for place in range(job.processes):
            variables = _variables(job.processes, place, "localhost:PORT")
            lines.append(
                " ".join([*(f"{k}={v}" for k, v in variables.items()), shown(each.command)])
            )
    return "\n".join(lines) + "\n"


def _variables(count: int, place: int, coordinator: str) -> dict[str, str]:
    if count == 1:
        return {}
    return {
        processes.COORDINATOR: coordinator,
        processes.COUNT: str(count),
        processes.PLACE: str(place),
        # One GPU for each process, if there are GPUs.
        "JAX_LOCAL_DEVICE_IDS": str(place),
    }


def _run(each: Run, count: int, started: list, lock: threading.Lock, say) -> Ended:
    coordinator = f"localhost:{_free_port()}"
    own, readers = [], []
    for place in range(count):
        environment = {**os.environ, **_variables(count, place, coordinator)}
        process = subprocess.Popen(
            each.command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        with lock:
            started.append(process)
        own.append(process)
        prefix = f"{each.name}: " if each.name else ""
        prefix += f"[{place}] " if place else ""
        reader = threading.Thread(target=_copy, args=(process.stdout, prefix, say), daemon=True)
        reader.start()
        readers.append(reader)
    ended = _wait(own, each.name)
    for reader in readers:
        reader.join(timeout=5)
    return ended


def _copy(source: IO[str], prefix: str, say) -> None:
    for line in source:
        say(prefix + (line if line.endswith("\n") else f"{line}\n"))


def _wait(own: Sequence[subprocess.Popen], name: str) -> Ended:
    """Waits for all processes of a run; once one has failed, ends the others."""
    first: tuple[int, int] | None = None
    deadline = None
    while True:
        codes = [process.poll() for process in own]
        if first is None:
            bad = [(place, code) for place, code in enumerate(codes) if code]
            failed = [(place, code) for place, code in bad if code != processes.STOPPED]
            if failed:
                first = min(failed, key=_likely_victim)
                deadline = time.monotonic() + GRACE
            elif bad and deadline is None:
                # The others may still be saving.
                deadline = time.monotonic() + SAVING
        if all(code is not None for code in codes):
            break
        if deadline is not None and time.monotonic() > deadline:
            for process in own:
                if process.poll() is None:
                    _signal(process, signal.SIGKILL)
            deadline = math.inf
        time.sleep(0.1)
    label = f"{name}: " if name else ""
    if first is not None:
        return _failed(*first, label, len(own))
    if processes.STOPPED in codes:
        return Ended(processes.STOPPED, f"{label}stopped and saved; run the same command again")
    return Ended(0, "")


def _likely_victim(failed: tuple[int, int]) -> int:
    """Returns how likely a process failed because another did, given its place and code.

    If one is killed, the others lose their connection to it: they exit with an error or abort.
    """
    _, code = failed
    return 2 if code >= 0 else int(code == -signal.SIGABRT)


def _failed(place: int, code: int, label: str, count: int) -> Ended:
    code = 128 - code if code < 0 else code
    told = f"killed by {signal.Signals(code - 128).name}" if code > 128 else f"exit code {code}"
    return Ended(code, f"{label}process {place} of {count} failed ({told}); the others were ended")


@contextlib.contextmanager
def _forwarding_signals(
    started: list, lock: threading.Lock, stopping: threading.Event
) -> Iterator[None]:
    def forward(number, frame):
        stopping.set()
        for process in list(started):
            if process.poll() is None:
                _signal(process, signal.SIGTERM)

    watched = processes.stopping_signals()
    previous = {number: signal.signal(number, forward) for number in watched}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _signal(process: subprocess.Popen, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _free_port() -> int:
    with socket.socket() as held:
        held.bind(("localhost", 0))
        return held.getsockname()[1]
