"""Rates count all of a training's time, the wait for data too, and nothing else."""

import io

import pytest
from rich.console import Console

from library.run import clock, evaluating, loop
from library.run.clock import Clock
from library.run.feed import Feed
from library.run.progress import Timing
from tests import tiny
from tests.run.test_loop import column

LOADING, WAIT, STEP, EVALUATION = 100.0, 3.0, 1.0, 20.0


class Time:
    """The time, which passes only when told."""

    seconds = 0.0

    def perf_counter(self):
        return self.seconds

    def passes(self, seconds):
        self.seconds += seconds


class SlowStep:
    def __init__(self, update, time):
        self.update, self.time = update, time

    def __call__(self, *arguments):
        self.time.passes(STEP)
        return self.update(*arguments)

    def _cache_size(self):
        return self.update._cache_size()


@pytest.fixture
def time(monkeypatch):
    """Batches, steps and evaluations that take their time, by a clock of their own."""
    now, train = Time(), Feed.train
    monkeypatch.setattr(clock, "time", now)
    tiny.serve(monkeypatch, train=tiny.arrays(50), test=tiny.arrays(21, seed=1))

    def batches(feed, start, calls):
        for place, batch in enumerate(train(feed, start, calls)):
            now.passes(WAIT if place else LOADING)
            yield batch

    def measured(*arguments):
        now.passes(EVALUATION)
        return {"test/loss": 1.0}

    monkeypatch.setattr(Feed, "train", batches)
    monkeypatch.setattr(evaluating, "measured", measured)
    return now


def slow_plan(time, **changes):
    plan = tiny.plan_on(1, evaluate=dict(test=dict(kind="metrics", every="5 steps")), **changes)
    made = plan.strategy.update
    slow = plan.strategy._replace(update=lambda f, carry: SlowStep(made(f, carry), time))
    return plan._replace(strategy=slow)


@pytest.mark.full
def test_a_rate_is_that_of_the_clock_between_rows_without_evaluations(time, tmp_path):
    shown = io.StringIO()
    summary = loop.train(slow_plan(time), tmp_path, Clock(), Console(file=shown, width=200))
    rate = 16 / (WAIT + STEP)
    rows = column(tmp_path, "train/examples_per_second")
    assert rows == {3: rate, 6: rate, 9: rate, 12: rate}
    assert summary["examples_per_second"] == rate
    assert summary["waiting_for_data"] == WAIT / (WAIT + STEP)
    lines = {line.split("/")[0]: line for line in shown.getvalue().splitlines()}
    # Neither loading nor compiling is to come again: nine steps are.
    assert "4 examples/s  0.25 steps/s  0:36 left  waiting for data 75%" in lines["step 3"]
    # Six steps, and the evaluations of steps 10 and 12.
    assert "1:04 left" in lines["step 6"]
    assert "0:52 left" in lines["step 9"]
    assert "0:00 left" in lines["step 12"]


def test_a_rate_goes_on_where_a_run_does(time, tmp_path, monkeypatch):
    plan = slow_plan(time)
    with monkeypatch.context() as patch:
        patch.setattr(loop._Run, "_stop_asked", lambda run: run.reached == 7)
        with pytest.raises(loop.Preempted):
            tiny.run(plan, tmp_path)
    summary = tiny.run(plan, tmp_path)
    # Two starts, each without its first step.
    assert summary["examples_per_second"] == 16 / (WAIT + STEP)
    assert column(tmp_path, "train/examples_per_second")[12] == 16 / (WAIT + STEP)


def test_of_no_steps_there_is_no_rate():
    none = Timing(0, 0.0, 0.0)
    assert none.per_second(16) is None
    assert none.waiting() is None
    assert Timing(5, 4.0, 1.0).since(Timing(3, 3.0, 0.5)) == (2, 1.0, 0.5)
