"""The memory of the processes that run the tests: bounded, and stated at the end."""

import gc
import resource
import sys

import jax
import pytest

from experiments import command_line

# A process above this many MiB forgets its compiled programs before the next file of tests.
KEPT = 1200
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
    """Hands what this process took at most to the one that reports."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[_KEY] = _largest()
    else:
        session.config.stash.setdefault(LARGEST, []).append(_largest())


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error) -> None:
    """Notes what a worker of pytest-xdist took."""
    if _KEY in getattr(node, "workeroutput", {}):
        node.config.stash.setdefault(LARGEST, []).append(node.workeroutput[_KEY])


def pytest_terminal_summary(terminalreporter, exitstatus, config) -> None:
    """States what the largest process took."""
    found = config.stash.get(LARGEST, [])
    if found:
        terminalreporter.write_line(f"the largest process of the tests took {max(found)} MiB")


def _resident() -> int:
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize() // 2**20
    except OSError:
        return _largest()


def _largest() -> int:
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit
