"""A run ends early when a metric no longer improves, and where it would have without a stop."""

import dataclasses
import math

import pytest

from library.config import ConfigError
from library.reporting.runs import read_rows
from library.run import checkpoints, evaluating, loop, preemption
from library.run.early_stopping import EarlyStop
from tests import tiny
from tests.run.test_stopping import stops_at

EVALUATE = dict(test=dict(kind="metrics", every="2 steps"), fit=dict(kind="metrics", split="train"))
STOP = dict(metric="test/accuracy", patience="4 steps")
# The best value comes after step 4; the run ends after step 8.
VALUES = [0.5, 0.7, 0.7, 0.6, 0.9, 0.9]


@pytest.fixture(autouse=True)
def data(monkeypatch):
    tiny.serve(monkeypatch, train=tiny.arrays(50), test=tiny.arrays(21, seed=1))


def plan_of(**changes):
    return tiny.plan_on(
        1, **{"evaluate": EVALUATE, "stop": STOP, "log_every": "3 steps", **changes}
    )


def end_of(plan, values, **stop):
    """Returns the step after which the run of a plan ends if the metric has these values."""
    plan = plan._replace(recipe=dataclasses.replace(plan.recipe, stop={**STOP, **stop}))
    early, metric = EarlyStop(plan), {**STOP, **stop}["metric"]
    rows = enumerate(values, 1)
    return next((2 * n for n, value in rows if early.ends(2 * n, {metric: value})), None)


def test_when_a_metric_no_longer_improves():
    plan, nan = plan_of(), math.nan
    assert end_of(plan, VALUES) == 8
    assert end_of(plan, VALUES, patience="1 evaluation") == 6
    assert end_of(plan, VALUES, patience="3 evaluations") is None
    assert end_of(plan, VALUES, patience="50%") is None
    assert end_of(plan, VALUES, patience="64 examples") == 8
    # Improvements that are too small do not count, and do not move what later ones are beside.
    assert end_of(plan, [0.5, 0.59, 0.61, 0.7, 0.7, 0.74], min_delta=0.1) == 10
    assert end_of(plan, [0.5, 0.75, 0.75], min_delta=0.25) == 6
    assert end_of(plan, [0.5, 0.4, 0.3, 0.2], metric="test/loss") is None
    assert end_of(plan, [0.5, 0.45, 0.42, 0.2], metric="test/loss", min_delta=0.1) == 6
    assert end_of(plan, [0.2, 0.3, 0.4], metric="test/loss", patience="1 step") == 4
    # What is not finite is no improvement; before the first value, patience counts from the start.
    assert end_of(plan, [nan, nan, 0.5]) == 4
    assert end_of(plan, [0.5, nan, nan, nan]) == 6
    assert EarlyStop(plan).ends(12, {"train/loss": 1.0}) is False


@pytest.fixture
def measured(monkeypatch):
    """Evaluations of "test" have the values of `VALUES`, by the step of the state."""

    def measure(name, evaluation, state):
        return {f"{name}/accuracy": VALUES[int(state.step) // 2 - 1]}

    monkeypatch.setattr(evaluating, "measured", measure)


def rows(workdir):
    timed = ("wall_time", "train/examples_per_second")
    found = read_rows(workdir / "metrics.jsonl").rows
    return [{k: v for k, v in row.items() if k not in timed} for row in found]


def test_a_run_that_stops_early_is_a_finished_one(tmp_path, measured):
    summary = tiny.run(plan_of(), tmp_path)
    assert (summary["status"], summary["steps"]) == ("finished", 8)
    assert summary["stopped_early"] == {
        "metric": "test/accuracy",
        "patience": "4 steps",
        "min_delta": 0.0,
        "best": 0.7,
        "best_step": 4,
        "step": 8,
        "total": 12,
    }
    # The last step has a row and all evaluations, as that of any run.
    last = rows(tmp_path)[-1]
    assert (last["step"], last["test/accuracy"], last["fit/accuracy"]) == (8, 0.6, 0.6)
    assert "train/loss" in last
    assert checkpoints.load(tmp_path)[0] == 8
    assert (
        summary["state_sha256"]
        == tiny.run(plan_of(stop=None, total="8 steps"), tmp_path / "short")["state_sha256"]
    )
    assert summary["train_step_compilations"] == 1


@pytest.mark.full
def test_a_run_that_reaches_its_total_did_not_stop_early(tmp_path, measured):
    summary = tiny.run(plan_of(stop={**STOP, "patience": "5 steps"}), tmp_path)
    assert (summary["steps"], summary["stopped_early"]) == (12, None)


@pytest.mark.full
def test_a_run_with_several_stops_ends_at_the_same_step(tmp_path, measured, monkeypatch):
    whole = tiny.run(plan_of(), tmp_path / "whole")
    plan = plan_of(checkpoint=dict(every="100%"))
    # It asks after each step and before each evaluation.
    for asking in range(1, 12):
        with monkeypatch.context() as patch:
            patch.setattr(preemption, "watch", stops_at(asking))
            try:
                cut = tiny.run(plan, tmp_path / "cut")
                break
            except loop.Preempted:
                pass
    assert asking > 4
    assert cut["stopped_early"] == whole["stopped_early"]
    assert cut["state_sha256"] == whole["state_sha256"]
    assert rows(tmp_path / "cut") == rows(tmp_path / "whole")
    # Only its summary is missing.
    again = tiny.run(plan, tmp_path / "cut")
    assert again["train_step_compilations"] == 0
    assert (again["steps"], again["stopped_early"]) == (8, whole["stopped_early"])


@pytest.mark.full
def test_a_run_killed_in_the_last_evaluations_ends_at_the_same_step(tmp_path, monkeypatch):
    fails = []

    def measure(name, evaluation, state):
        step = int(state.step)
        if name == "fit" and not fails:
            fails.append(step)
            raise RuntimeError("out of memory")
        return {f"{name}/accuracy": VALUES[step // 2 - 1]}

    monkeypatch.setattr(evaluating, "measured", measure)
    with pytest.raises(RuntimeError, match="out of memory"):
        tiny.run(plan_of(), tmp_path)
    summary = tiny.run(plan_of(), tmp_path)
    assert fails == [8]
    assert (summary["steps"], summary["stopped_early"]["best_step"]) == (8, 4)
    assert [row["step"] for row in rows(tmp_path)] == [2, 3, 4, 6, 8]
    assert {"train/loss", "fit/accuracy"} < rows(tmp_path)[-1].keys()


def test_patience_begins_anew_when_the_metric_is_measured_otherwise():
    half = {**EVALUATE, "test": {**EVALUATE["test"], "batch_size": 8}}
    before, after, said = EarlyStop(plan_of()), EarlyStop(plan_of(evaluate=half)), []
    before.ends(2, {"test/accuracy": 0.9})
    after.recall(before.progress(), 6, said.append)
    assert len(said) == 1
    assert "the best test/accuracy so far, 0.9, no longer counts" in said[0]
    assert not after.ends(8, {"test/accuracy": 0.5})
    assert not after.ends(10, {"test/accuracy": 0.5})
    assert after.ends(12, {"test/accuracy": 0.5})


@pytest.mark.parametrize(
    ("stop", "said"),
    [
        (dict(metric="test/acuracy"), ["stop.metric='test/acuracy' is not", "'test/accuracy'"]),
        (dict(metric="train/loss"), ["stop.metric='train/loss' is not measured by an evaluator"]),
        (dict(metric="fit/accuracy"), ["after step 12 only", "set evaluate.fit.every to less"]),
        (dict(patience="3 evaluatons"), ["stop, patience", "or '3 evaluations'"]),
        (dict(patience="5 epoch s"), ["stop, patience='5 epoch s' is not a duration"]),
        (dict(patience="0 evaluations"), ["'0 evaluations': valid are '1 evaluation' or more"]),
        (dict(patience="0 steps"), ["patience='0 steps' is less than one step"]),
        (dict(patience=3), ["stop, patience=3 is of type int, expected str"]),
        (dict(min_delta=-0.1), ["stop, min_delta=-0.1: a finite number from 0"]),
        (dict(mode="min"), ["stop.mode='min'", "write 'max', or leave it out"]),
        (dict(pateince="5 steps"), ["stop takes no 'pateince': did you mean 'patience'"]),
    ],
)
def test_sections_that_are_refused(stop, said):
    with pytest.raises(ConfigError) as caught:
        plan_of(stop={**STOP, **stop})
    for text in said:
        assert text in str(caught.value)
