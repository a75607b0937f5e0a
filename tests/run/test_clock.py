"""Every second of a run is charged to one phase."""

import pytest

from library.run import clock
from library.run.clock import Clock


@pytest.fixture
def now(monkeypatch):
    """The time, which passes only when told."""

    class Time:
        seconds = 100.0

        def perf_counter(self):
            return self.seconds

        def passes(self, seconds):
            self.seconds += seconds

    time = Time()
    monkeypatch.setattr(clock, "time", time)
    return time


def test_phases_sum_to_the_time_since_the_program_started(now):
    made = Clock(started=97.5)
    now.passes(1)
    with made.phase("build"):
        now.passes(2)
    for _ in range(2):
        with made.phase("train"):
            now.passes(4)
    now.passes(0.25)
    expected = {"import": 2.5, "other": 1.25, "build": 2.0, "train": 8.0}
    assert made.read() == expected
    assert made.total() == sum(expected.values()) == now.seconds - 97.5


def test_the_innermost_phase_is_charged(now):
    made = Clock()
    with made.phase("train"):
        now.passes(1)
        with made.phase("data"):
            now.passes(2)
        now.passes(4)
    assert made.read() == {"import": 0.0, "other": 0.0, "train": 5.0, "data": 2.0}


def test_an_open_phase_is_read_up_to_now(now):
    made = Clock()
    with made.phase("train"):
        now.passes(3)
        assert made.read()["train"] == 3.0
        assert made.total() == 3.0
        now.passes(1)
    assert made.read()["train"] == 4.0


def test_a_phase_that_fails_is_charged_and_closed(now):
    made = Clock()

    def fails():
        with made.phase("evaluate"):
            now.passes(2)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    now.passes(1)
    assert made.read() == {"import": 0.0, "evaluate": 2.0, "other": 1.0}


def test_earlier_starts_are_added(now):
    made = Clock(started=99.0)
    now.passes(1)
    made.resume({"import": 5.0, "train": 30.0})
    assert made.read() == {"import": 6.0, "other": 1.0, "train": 30.0}
    assert made.total() == 37.0
    with made.phase("train"):
        now.passes(0.0006)
    assert made.read()["train"] == 30.001


def test_what_came_after_the_last_save_is_lost(now):
    made = Clock()
    made.resume({"import": 1.0, "train": 5.0}, reached=10.0)
    with made.phase("train"):
        now.passes(2)
    assert made.read() == {"import": 1.0, "train": 7.0, "lost": 4.0, "other": 0.0}
    assert made.total() == 12.0


def test_nothing_is_lost_of_a_run_that_stopped_by_itself(now):
    made = Clock()
    made.resume({"train": 5.0}, reached=4.5)
    assert "lost" not in made.read()


def test_training_is_steps_and_their_wait_and_what_lies_between(now):
    made = Clock()
    with made.phase("data"):
        now.passes(100)
    with made.phase("loop"):
        for name, seconds in (("compile", 50), ("wait", 3), ("train", 1), ("evaluate", 20)):
            with made.phase(name):
                now.passes(seconds)
        now.passes(0.5)
    assert made.training() == (4.5, 3.0)
