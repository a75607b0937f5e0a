"""What ends a run between two steps costs none: the state is saved, what was due is made again."""

import contextlib
import functools
import io
import itertools
import os
import signal
import sys
import types

import numpy as np
import pytest
from rich.console import Console

from library import trees
from library.reporting import mosaic, report
from library.reporting.runs import read_rows
from library.run import checkpoints, evaluating, loop, preemption, session, tracking
from library.run.clock import Clock
from library.run.feed import Feed
from library.summaries import summarize
from tests import often, tiny

EVALUATORS = {
    "fit": dict(kind="metrics", split="train", every="4 steps"),
    "test": dict(kind="metrics", every="4 steps"),
}
CHANGES = dict(
    evaluate=EVALUATORS,
    ema=dict(decay=0.9),
    log_every="4 steps",
    checkpoint=dict(every="5 steps", best="test/accuracy", keep=9),
)


@pytest.fixture(autouse=True)
def data(monkeypatch):
    tiny.serve(monkeypatch, train=tiny.arrays(50), test=tiny.arrays(21, seed=1))


def rows(workdir):
    timed = ("wall_time", "train/examples_per_second")
    found = read_rows(workdir / "metrics.jsonl").rows
    return [{k: v for k, v in row.items() if k not in timed} for row in found]


def best(workdir):
    step, leaves = checkpoints.load(workdir, which="best")
    return step, trees.digest(leaves)


@contextlib.contextmanager
def struck(at, what):
    """Does `what` before the second batch of the `at`-th pass over a split; yields the batches."""
    evaluation, passes, seen = Feed.evaluation, [], []

    def batches(feed, split, size):
        passes.append(split)
        number = len(passes)
        for place, batch in enumerate(evaluation(feed, split, size)):
            if (number, place) == (at, 1):
                what()
            seen.append((number, place))
            yield batch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Feed, "evaluation", batches)
        yield seen


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


def die():
    raise KeyboardInterrupt


def fail():
    raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory")


def stops_at(asking):
    """Stands in for `preemption.watch`: the run is asked to stop when it asks so many times."""

    @contextlib.contextmanager
    def watch():
        asked = itertools.count(1)
        yield lambda: next(asked) == asking

    return watch


def check_same(workdir, summary, undisturbed, expected):
    assert summary["state_sha256"] == expected["state_sha256"]
    assert rows(workdir) == rows(undisturbed)
    assert best(workdir) == best(undisturbed)
    with np.load(workdir / "evaluation.npz") as a, np.load(undisturbed / "evaluation.npz") as b:
        assert trees.digest(dict(a)) == trees.digest(dict(b))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        tiny.serve(patch, train=tiny.arrays(50), test=tiny.arrays(21, seed=1))
        workdir = tmp_path_factory.mktemp("undisturbed")
        return workdir, tiny.run(tiny.plan_on(1, **CHANGES), workdir)


# A step has four passes: of the params and of their averages over "train", then over "test".
@pytest.mark.parametrize(("at", "step"), often.first(1, [(4, 4), (9, 12)]))
def test_a_run_is_stopped_in_the_middle_of_an_evaluation(tmp_path, undisturbed, at, step):
    plan = tiny.plan_on(1, **CHANGES)
    with struck(at, terminate) as seen, pytest.raises(loop.Preempted) as caught:
        tiny.run(plan, tmp_path)
    assert str(caught.value) == f"asked to stop: saved at step {step}; run the same command again"
    # One batch is on its way when the signal comes.
    assert seen[-1] <= (at, 1)
    assert checkpoints.load(tmp_path)[0] == step
    assert [row["step"] for row in rows(tmp_path)] == list(range(4, step, 4))
    summary = tiny.run(plan, tmp_path)
    check_same(tmp_path, summary, *undisturbed)


@pytest.mark.full
def test_a_run_is_stopped_again_and_again_in_one_evaluation(tmp_path, undisturbed):
    plan = tiny.plan_on(1, **CHANGES)
    for at in (3, 1, 2):
        with struck(at, terminate), pytest.raises(loop.Preempted, match="saved at step 4"):
            tiny.run(plan, tmp_path)
    # It is killed after the step was made up for and before there is another checkpoint.
    seldom = tiny.plan_on(1, **{**CHANGES, "checkpoint": dict(every="100%")})
    with struck(5, die), pytest.raises(KeyboardInterrupt):
        tiny.run(seldom, tmp_path)
    assert [row["step"] for row in rows(tmp_path)] == [4]
    check_same(tmp_path, tiny.run(plan, tmp_path), *undisturbed)


def test_an_evaluator_that_fails_costs_no_step(tmp_path, undisturbed):
    plan = tiny.plan_on(1, **CHANGES)
    for at in (6, 2):
        # The second time it fails at the same step, before any other.
        with struck(at, fail), pytest.raises(RuntimeError, match="Out of memory"):
            tiny.run(plan, tmp_path)
        assert checkpoints.load(tmp_path)[0] == 8
    check_same(tmp_path, tiny.run(plan, tmp_path), *undisturbed)


def test_a_source_that_fails_costs_no_step(tmp_path, monkeypatch, undisturbed):
    train = Feed.train

    def batches(feed, start, calls):
        for step, batch in enumerate(train(feed, start, calls), start + 1):
            if step == 7:
                raise OSError(5, "Input/output error")
            yield batch

    plan = tiny.plan_on(1, **CHANGES)
    with monkeypatch.context() as patch:
        patch.setattr(Feed, "train", batches)
        with pytest.raises(OSError, match="Input/output"):
            tiny.run(plan, tmp_path)
    assert checkpoints.load(tmp_path)[0] == 6
    check_same(tmp_path, tiny.run(plan, tmp_path), *undisturbed)


def test_a_row_that_cannot_be_written_ends_the_run_with_the_step_saved(
    tmp_path, monkeypatch, undisturbed
):
    def full(*_):
        raise OSError(28, "No space left on device")

    plan = tiny.plan_on(1, **CHANGES)
    with monkeypatch.context() as patch:
        patch.setattr(loop.Logger, "write", full)
        with pytest.raises(OSError, match="No space left"):
            tiny.run(plan, tmp_path)
    assert checkpoints.load(tmp_path)[0] == 4
    check_same(tmp_path, tiny.run(plan, tmp_path), *undisturbed)


# What is measured may change from one start to the next.


def test_an_evaluation_that_runs_out_of_memory_is_made_smaller(tmp_path, undisturbed):
    values = {**CHANGES, "checkpoint": dict(every="100%")}
    with struck(5, fail), pytest.raises(RuntimeError, match="Out of memory"):
        tiny.run(tiny.plan_on(1, **values), tmp_path)
    values |= dict(
        dataset=dict(eval_batch_size=8),
        evaluate=dict(small=dict(kind="metrics", every="2 steps")),
        log_every="3 steps",
    )
    plan = tiny.plan_on(1, **values)
    assert tiny.run(plan, tmp_path)["state_sha256"] == undisturbed[1]["state_sha256"]
    first, *others = rows(tmp_path)
    assert first == rows(undisturbed[0])[0]
    assert [row["step"] for row in others if "small/accuracy" in row] == [8, 10, 12]
    assert [row["step"] for row in others if "train/loss" in row] == [9, 12]
    # A row is of the steps since the one before it, whatever the interval was.
    sums = tiny.take_steps(plan, 9).sums[4:]
    loss = summarize(functools.reduce(trees.add, sums))["loss"]
    assert others[1]["train/loss"] == pytest.approx(loss, rel=1e-6)


@pytest.mark.full
def test_the_best_begins_anew_when_it_is_judged_otherwise(tmp_path, monkeypatch):
    found = iter([0.9, 0.5, 0.4])
    monkeypatch.setattr(evaluating, "measured", lambda *a: {"test/accuracy": next(found)})
    test = dict(kind="metrics", every="4 steps")
    values = dict(checkpoint=dict(every="4 steps", best="test/accuracy"))
    with monkeypatch.context() as patch:
        patch.setattr(preemption, "watch", stops_at(5))
        with pytest.raises(loop.Preempted):
            tiny.run(tiny.plan_on(1, **values, evaluate=dict(test=test)), tmp_path)
    assert checkpoints.load(tmp_path, which="best")[0] == 4
    summary = tiny.run(
        tiny.plan_on(1, **values, evaluate=dict(test={**test, "split": "train"})), tmp_path
    )
    assert checkpoints.load(tmp_path, which="best")[0] == 8
    assert [each["text"] for each in summary["warnings"]] == [
        "the best value so far, 0.9, no longer counts: the settings of the best checkpoint have "
        "changed"
    ]


# What may fail and is no part of the run.


class Gone(io.StringIO):
    """A terminal that has gone."""

    def write(self, text):
        raise OSError(5, "Input/output error")


def train(workdir, file, **changes):
    values = tiny.config(**{**CHANGES, **changes})
    return session.train(values, {}, workdir, Clock(), Console(file=file, width=1000))


def texts(workdir):
    return [each["text"] for each in session.read_json(workdir / "summary.json")["warnings"]]


# A file of events that cannot be written cannot be closed either.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_displays_that_fail_do_not_end_a_run(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(report, "write_report", lambda workdir: None)
    monkeypatch.setattr(tracking.EventsWriter, "write_event", full)
    failing = types.SimpleNamespace(log=full, finish=full)
    module = types.SimpleNamespace(init=lambda **_: failing)
    monkeypatch.setitem(sys.modules, "wandb", module)
    assert train(tmp_path, Gone(), wandb="p") == 0
    said = "\n".join(texts(tmp_path))
    assert "TensorBoard events cannot be written" in said
    assert "wandb failed: rows now go only to metrics.jsonl and TensorBoard" in said
    assert "the output of the run can no longer be written: Input/output error" in said
    assert len(texts(tmp_path)) == 3
    assert len(rows(tmp_path)) == 3


@pytest.mark.full
def test_pictures_that_fail_do_not_end_a_run(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise ValueError("no such style")

    monkeypatch.setattr(report, "write_report", fail)
    monkeypatch.setattr(session.loop.artifacts, "predictions", fail)
    shown = io.StringIO()
    assert train(tmp_path, shown) == 0
    said = f"python -m experiments.report --workdir={tmp_path} draws it again"
    assert "the report could not be drawn: ValueError: no such style" in shown.getvalue()
    assert said in shown.getvalue()
    assert texts(tmp_path) == ["predictions.npz is not written: ValueError: no such style"]
    assert not (tmp_path / "predictions.npz").exists()
    assert (tmp_path / "evaluation.npz").exists()


def test_samples_that_cannot_be_drawn_are_kept_as_arrays(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise ValueError("no such style")

    monkeypatch.setattr(mosaic, "save", fail)
    arrays, said = {"samples/image": np.zeros((2, 4, 4, 1), np.uint8)}, []
    assert not loop.artifacts.keep_samples(arrays, 3, tmp_path, said.append)
    assert said == ["samples of samples/image at step 3 are not drawn: ValueError: no such style"]
    assert [path.name for path in tmp_path.rglob("0*")] == ["00000003.npz"]


# Signals.


@pytest.mark.parametrize("name", ["SIGHUP", "SIGTERM", "SIGINT", "SIGUSR1", "SIGUSR2", "SIGXCPU"])
def test_signals_that_ask_a_run_to_stop(name):
    number = signal.Signals[name]
    before = signal.signal(number, signal.SIG_DFL)
    try:
        with preemption.watch() as stop_asked:
            assert not stop_asked()
            os.kill(os.getpid(), number)
            assert stop_asked()
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, before)


def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with preemption.watch() as stop_asked:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop_asked()
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_an_interrupt_without_a_terminal_is_remembered(monkeypatch):
    def gone(number, line):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(preemption.os, "write", gone)
    with preemption.watch() as stop_asked:
        signal.raise_signal(signal.SIGINT)
        assert stop_asked()
