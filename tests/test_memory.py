"""A session of tests fails if one of its processes takes too much memory, and says so."""

from types import SimpleNamespace

import pytest

from tests import memory

OK, FAILED = pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED


class Lines(list):
    def write_line(self, line, **markup):
        self.append(line)


def finished(config, exitstatus=OK):
    """Ends a session, and returns its exit status and what it says."""
    session, lines = SimpleNamespace(config=config, exitstatus=exitstatus), Lines()
    memory.pytest_sessionfinish(session)
    memory.pytest_terminal_summary(lines, exitstatus, config)
    return session.exitstatus, *lines


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize(
    ("taken", "expected", "more"),
    [
        (3072, OK, ""),
        (3073, FAILED, ": more than the 3072 MiB that it may take, so the tests fail"),
    ],
)
def test_a_session_above_the_limit_fails(monkeypatch, alone, taken, expected, more):
    config = SimpleNamespace(stash=pytest.Stash())
    monkeypatch.setattr(memory, "_largest", lambda: taken)
    if not alone:
        worker = SimpleNamespace(workeroutput={}, config=config, stash=pytest.Stash())
        assert finished(worker) == (OK,)
        memory.pytest_testnodedown(worker, None)
        monkeypatch.setattr(memory, "_largest", lambda: 200)
    line = f"the largest process of the tests took {taken} MiB{more}"
    assert finished(config) == (expected, line)


def test_another_failure_stays_what_it_is(monkeypatch):
    monkeypatch.setattr(memory, "_largest", lambda: 2 * memory.MOST)
    config = SimpleNamespace(stash=pytest.Stash())
    assert finished(config, pytest.ExitCode.INTERRUPTED)[0] == pytest.ExitCode.INTERRUPTED


def test_the_memory_of_this_process_is_known():
    assert 20 < memory._resident() <= memory._largest()
