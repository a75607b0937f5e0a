"""The memory of the processes that run the tests: bounded, and stated at the end.

A session in which a process takes more than `MOST` fails, even if all its tests pass.
"""

import contextlib
import gc
import resource
import sys

import jax
import pytest

from experiments import command_line

# A process above this many MiB forgets its compiled programs before the next file of tests.
KEPT = 1200
# MiB that a process may take at most.
MOST = 3072
_KEY = "largest_mib"
LARGEST = pytest.StashKey[list]()


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Frees what the programs of a file hold: JAX keeps each until the process ends."""
    if nextitem is None or nextitem.fspath == item.fspath or _resident() < KEPT:
        return
    jax.clear_caches()
    gc.collect()
    command_line.give_back_memory()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hands what this process took at most to the one that reports; that one judges it."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[_KEY] = _largest()
        return
    found = session.config.stash.setdefault(LARGEST, [])
    found.append(_largest())
    if max(found) > MOST and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error) -> None:
    """Notes what a worker of pytest-xdist took."""
    if _KEY in getattr(node, "workeroutput", {}):
        node.config.stash.setdefault(LARGEST, []).append(node.workeroutput[_KEY])


def pytest_terminal_summary(terminalreporter, exitstatus, config) -> None:
    """States what the largest process took."""
    found = config.stash.get(LARGEST, [])
    if found:
        line = f"the largest process of the tests took {max(found)} MiB"
        if max(found) > MOST:
            line += f": more than the {MOST} MiB that it may take, so the tests fail"
        terminalreporter.write_line(line, red=max(found) > MOST)


def _resident() -> int:
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize() // 2**20
    except OSError:
        return _largest()


def _largest() -> int:
    # What a process took does not count what the one that started it took, unlike in `getrusage`.
    with contextlib.suppress(OSError), open("/proc/self/status") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) // 2**10
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit
