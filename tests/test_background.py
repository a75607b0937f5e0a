"""Long calls in a thread: what they return, and that the main thread leaves them."""

import itertools
import threading

import pytest

from library import background


def test_the_result_and_the_error_are_those_of_the_work():
    assert background.result(lambda: threading.current_thread().name) == "background"

    def fail():
        raise ValueError("singular")

    with pytest.raises(ValueError, match="singular"):
        background.result(fail)


def test_the_work_is_left_when_a_pause_says_so(monkeypatch):
    monkeypatch.setattr(background, "INTERVAL", 0)
    end, pauses, ended = threading.Event(), itertools.count(), []

    def pause():
        if next(pauses) == 5:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        background.result(lambda: ended.append(end.wait()), pause=pause)
    assert not ended
    end.set()


def test_no_work_begins_if_the_run_is_asked_to_stop_before():
    def stop():
        raise InterruptedError

    with pytest.raises(InterruptedError):
        background.result(lambda: pytest.fail("it has begun"), pause=stop)


def test_processes_pause_equally_often(monkeypatch):
    """One is done at once, the other after three intervals."""
    monkeypatch.setattr(background, "INTERVAL", None)
    pauses, others = [], iter([False, False, False, True])

    def all_done(done):
        assert done
        return next(others)

    found = background.result(lambda: 7, pause=lambda: pauses.append(0), all_done=all_done)
    assert found == 7
    assert len(pauses) == 1 + 3
