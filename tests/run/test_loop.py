"""The loop: what it transfers, compiles, logs, saves, skips and survives."""

import contextlib
import functools
import itertools
import json
import logging
import os
import signal

import jax
import numpy as np
import pytest

from library import trees
from library.data import pipeline, sources
from library.reporting.runs import read_rows
from library.run import checkpoints, evaluating, loop, preemption
from library.run.feed import Feed
from library.summaries import summarize
from tests import often, tiny

SKIPPING = dict(preprocess=[dict(name="decode", channels=1)], dataset=dict(on_corrupt="skip"))
TEST = dict(test=dict(kind="metrics", every="4 steps"))


@pytest.fixture(autouse=True)
def data(monkeypatch):
    tiny.serve(monkeypatch, train=tiny.arrays(50), test=tiny.arrays(21, seed=1))


def rows(workdir):
    return read_rows(workdir / "metrics.jsonl").rows


def column(workdir, name):
    return {row["step"]: row[name] for row in rows(workdir) if name in row}


def without_times(workdir):
    timed = ("wall_time", "train/examples_per_second")
    return [{k: v for k, v in row.items() if k not in timed} for row in rows(workdir)]


def assert_state_is(workdir, state, step):
    """Asserts that the newest checkpoint of a run is that of a step, and holds a state's bits."""
    found, leaves = checkpoints.load(workdir)
    assert found == step
    expected = {f"state/{path}": leaf for path, leaf in trees.flatten(state).items()}
    held = {path: leaf for path, leaf in leaves.items() if path.startswith("state/")}
    assert trees.digest(held) == trees.digest(expected)


# Transfers and compilations.


def test_a_step_that_transfers_ends_the_run(tmp_path):
    plan = tiny.plan_on(1)
    # Batches that stay on the host have to be brought over inside the step.
    lazy = plan._replace(strategy=plan.strategy._replace(put=lambda batch: batch))
    with pytest.raises(Exception, match="Disallowed host-to-device transfer"):
        tiny.run(lazy, tmp_path)


def test_steps_that_do_not_log_fetch_nothing(tmp_path, monkeypatch):
    # The guard does not see what leaves a CPU device: everything that does passes through here.
    kind = type(jax.numpy.zeros(()))
    value, fetched = kind._value, []

    def counted(array):
        fetched.append(array.shape)
        return value.fget(array)

    monkeypatch.setattr(kind, "_value", property(counted))
    counts = []
    for total in (5, 25):
        plan = tiny.plan_on(
            1, total=f"{total} steps", log_every="100%", checkpoint={"every": "100%"}
        )
        fetched.clear()
        tiny.run(plan, tmp_path / str(total))
        counts.append(len(fetched))
    assert counts[0] > 0
    assert counts[1] == counts[0]


@pytest.mark.parametrize(
    "changes",
    [
        dict(parallel=dict(mesh=dict(data=2, fsdp=2))),
        pytest.param(
            dict(parallel=dict(strategy="pmap", mesh=dict(data=4))), marks=pytest.mark.full
        ),
    ],
    ids=["jit", "pmap"],
)
def test_the_train_step_is_compiled_once(tmp_path, caplog, changes):
    plan = tiny.plan_on(
        4, evaluate=TEST, checkpoint=dict(every="2 steps"), ema=dict(decay=0.9), **changes
    )
    with caplog.at_level(logging.WARNING, "jax"), jax.log_compiles():
        summary = tiny.run(plan, tmp_path)
    # pmap compiles everything under one name: the step, the evaluation, the predictions.
    name, times = ("jit(step)", 1) if plan.strategy.axis_name is None else ("jit(_fun)", 3)
    messages = [record.getMessage() for record in caplog.records]
    assert sum(text.startswith(f"Compiling {name}") for text in messages) == times
    assert summary["train_step_compilations"] == 1
    assert len(column(tmp_path, "train/loss")) == 4
    assert len(column(tmp_path, "test/accuracy")) == 3


def test_metrics_that_are_arrays_neither_move_nor_recompile_the_step(tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    data = {"image": tiny.arrays(40)["image"], "target": random.normal(size=(40, 4))}
    data["target"] = data["target"].astype(np.float32)
    tiny.serve(monkeypatch, train=sources.from_arrays(data))
    plan = tiny.plan_on(
        4,
        parallel=dict(mesh=dict(fsdp=4)),
        task=dict(name="regression"),
        model=dict(name="mlp.mlp", hidden=(4,)),
        total="6 steps",
    )
    assert plan.metrics["regression"][0].shape == (4, 4)
    summary = tiny.run(plan, tmp_path)
    assert summary["train_step_compilations"] == 1


# What is logged.


def test_rows_are_averages_since_the_last_row(tmp_path, monkeypatch):
    # Examples that are left out make averages over examples differ from averages over batches.
    tiny.serve(monkeypatch, train=tiny.encoded(50, broken=range(0, 50, 4)))
    plan = tiny.plan_on(1, **SKIPPING, total="7 steps")
    summary = tiny.run(plan, tmp_path)
    steps = tiny.take_steps(plan, 7).sums
    expected = {}
    for row, window in ((3, steps[:3]), (6, steps[3:6]), (7, steps[6:])):
        for name in ("loss", "accuracy", "gradient_norm"):
            total, count = (sum(float(s[name][i]) for s in window) for i in (0, 1))
            expected[row, name] = total / count
    for (row, name), value in expected.items():
        assert column(tmp_path, f"train/{name}")[row] == pytest.approx(value, rel=1e-6)
    assert len({float(s["loss"][1]) for s in steps}) > 1
    assert [row["step"] for row in rows(tmp_path)] == [3, 6, 7]
    assert column(tmp_path, "train/epoch") == {3: 0.96, 6: 1.92, 7: 2.24}
    assert summary["metrics"]["train/loss"] == pytest.approx(expected[7, "loss"], rel=1e-6)


def test_the_learning_rate_is_that_of_the_step(tmp_path):
    schedule = dict(name="linear", warmup="4 steps")
    optimizer = dict(name="sgd", learning_rate=0.8, schedule=schedule)
    tiny.run(tiny.plan_on(1, optimizer=optimizer, log_every="1 step"), tmp_path)
    # Rising from 0 over four steps, then falling over the eight that are left.
    expected = [0, 0.2, 0.4, 0.6, *(0.8 * (1 - i / 8) for i in range(8))]
    got = column(tmp_path, "train/learning_rate")
    np.testing.assert_allclose([got[i] for i in range(1, 13)], expected, atol=1e-7)


def test_evaluations_come_when_due_and_of_the_averages_too(tmp_path):
    every = {
        "test": dict(kind="metrics", every="5 steps"),
        "fit": dict(kind="metrics", split="train"),
    }
    plan = tiny.plan_on(1, evaluate=every, ema=dict(decay=0.5), log_every="100%")
    summary = tiny.run(plan, tmp_path)
    assert list(column(tmp_path, "test/accuracy")) == [5, 10, 12]
    assert list(column(tmp_path, "fit_ema/loss")) == [12]
    state = tiny.take_steps(plan, 12).carry.state
    feed = Feed(plan)
    for name, chosen in (("test", state), ("test_ema", loop.task.averaged(state))):
        context = feed.context()
        measure = context.measure(plan.task.evaluate)
        sums = [measure(chosen, batch) for batch in context.batches("test", None)]
        expected = summarize(jax.device_get(functools.reduce(trees.add, sums)))
        for metric in ("loss", "accuracy", "top5"):
            got = column(tmp_path, f"{name}/{metric}")[12]
            assert got == pytest.approx(expected[metric], rel=1e-6)
            assert summary["metrics"][f"{name}/{metric}"] == got
    assert column(tmp_path, "test/loss") != column(tmp_path, "test_ema/loss")
    arrays = np.load(tmp_path / "evaluation.npz")
    assert arrays["test/confusion"].sum() == 21
    assert arrays["fit/confusion"].sum() == 50
    assert "test_ema/confusion" in arrays


@pytest.mark.full
def test_examples_that_do_not_decode_are_counted(tmp_path, monkeypatch):
    source = tiny.encoded(20, broken=[7])
    tiny.serve(monkeypatch, train=source, test=source)
    plan = tiny.plan_on(2, **SKIPPING, evaluate=TEST)
    summary = tiny.run(plan, tmp_path)
    lost = pipeline.rows(np.arange(12 * 16), 0, 20) == 7
    assert summary["skipped"] == {"steps": 0, "examples": lost.sum()}
    assert column(tmp_path, "train/skipped_examples")[3] == lost[: 3 * 16].sum() == 2
    assert np.load(tmp_path / "evaluation.npz")["test/confusion"].sum() == 19


# Steps that are not finite.


def spoiled(monkeypatch, step):
    """Serves 160 float images, one with a NaN pixel that comes first at a step; returns its row."""
    data = tiny.arrays(160)
    data["image"] = data["image"].astype(np.float32) / 255
    row = int(pipeline.rows(np.array([(step - 1) * 16 + 5]), 0, 160)[0])
    whole = {**data, "image": data["image"].copy()}
    data["image"][row, 3, 3] = np.nan
    tiny.serve(monkeypatch, train=data, test=tiny.arrays(21, seed=1), whole=whole)
    return row


WHOLE = dict(train="whole")


def test_a_step_that_is_not_finite_ends_the_run_with_the_state_before_it_saved(
    tmp_path, monkeypatch
):
    spoiled(monkeypatch, step=8)
    changes = dict(
        model=tiny.CONV,
        ema=dict(decay=0.9),
        log_every="100%",
        checkpoint=dict(every="5 steps", keep=9),
    )
    plan = tiny.plan_on(2, **changes)
    with pytest.raises(loop.NonFiniteError) as caught:
        tiny.run(plan, tmp_path)
    said = str(caught.value)
    assert "step 8 is not finite in loss, params/head/bias" in said
    assert "variables/batch_stats" in said or "more" in said
    assert "the state after step 7 is saved" in said
    # What follows step 7 never reached the disk.
    assert sorted(p.name for p in (tmp_path / "checkpoints/latest").iterdir()) == ["5", "7"]
    undisturbed = tiny.take_steps(tiny.plan_on(2, **changes, dataset=WHOLE), 7)
    assert_state_is(tmp_path, undisturbed.carry.state, step=7)
    assert rows(tmp_path) == []
    # The same command stops at the same step again.
    with pytest.raises(loop.NonFiniteError, match="step 8 is not finite in loss"):
        tiny.run(plan, tmp_path)


def test_a_first_step_that_is_not_finite_saves_nothing(tmp_path, monkeypatch):
    spoiled(monkeypatch, step=1)
    with pytest.raises(loop.NonFiniteError, match=r"step 1 is not finite in loss") as caught:
        tiny.run(tiny.plan_on(1), tmp_path)
    assert "is saved" not in str(caught.value)
    assert not list((tmp_path / "checkpoints/latest").iterdir())


def test_a_step_that_is_skipped_leaves_the_others_as_they_are(tmp_path, monkeypatch):
    spoiled(monkeypatch, step=6)
    changes = dict(
        on_nonfinite="skip", optimizer=dict(name="adamw", learning_rate=0.01, weight_decay=0.1)
    )
    summary = tiny.run(tiny.plan_on(1, **changes, evaluate=TEST, total="10 steps"), tmp_path)
    assert summary["status"] == "finished"
    assert summary["skipped"] == {"steps": 1, "examples": 0}
    assert column(tmp_path, "train/skipped_steps") == {6: 1, 9: 1, 10: 1}
    clean = tiny.plan_on(1, **changes, dataset=WHOLE, total="10 steps")
    omitted = tiny.take_steps(clean, 10, omit=6)
    assert summary["state_sha256"] == trees.digest(omitted.carry.state)
    # Nothing of the step entered the averages, either: the window of 4 to 6 has two steps.
    expected = summarize(functools.reduce(trees.add, omitted.sums[3:5]))["loss"]
    assert column(tmp_path, "train/loss")[6] == pytest.approx(expected, rel=1e-6)
    assert np.isfinite(column(tmp_path, "test/loss")[10])


# Stopping and going on.

STRATEGIES = {
    "jit": dict(mesh=dict(data=2, fsdp=2)),
    "pmap": dict(strategy="pmap", mesh=dict(data=4)),
}
EVERYTHING = dict(
    model=dict(name="cnn.small", widths=(4,), dropout=0.3),
    augment=[dict(name="random_crop", padding=1), dict(name="flip_lr")],
    optimizer=dict(name="adamw", learning_rate=0.01, schedule=dict(name="cosine")),
    ema=dict(decay=0.9, every=2, warmup=True),
    evaluate=TEST,
    checkpoint=dict(every="4 steps", best="test/accuracy"),
    log_every="3 steps",
    total="12 steps",
)


def interrupted(monkeypatch, number, at):
    """Sends this process a signal while the batch of a step is fetched."""
    train = Feed.train

    def batches(feed, start, calls):
        for step, batch in enumerate(train(feed, start, calls), start + 1):
            if step == at:
                os.kill(os.getpid(), number)
            yield batch

    monkeypatch.setattr(Feed, "train", batches)


@pytest.mark.parametrize("strategy", often.only(["jit"], STRATEGIES))
def test_a_run_that_was_stopped_ends_as_the_one_that_was_not(tmp_path, monkeypatch, strategy):
    plan = tiny.plan_on(4, **EVERYTHING, parallel=STRATEGIES[strategy])
    assert {"batch_stats"} == set(plan.state.variables) == set(plan.state.ema) - {"params"}
    expected = tiny.run(plan, tmp_path / "whole")
    handlers = [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)]
    # At a step where nothing was due, and again at one where everything is.
    for number, at in ((signal.SIGTERM, 5), (signal.SIGINT, 8)):
        with monkeypatch.context() as patch:
            interrupted(patch, number, at)
            with pytest.raises(loop.Preempted, match=f"saved at step {at}; run the same command"):
                tiny.run(plan, tmp_path / "stopped")
        assert handlers == [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)]
        assert checkpoints.load(tmp_path / "stopped")[0] == at
    summary = tiny.run(plan, tmp_path / "stopped")
    assert summary["state_sha256"] == expected["state_sha256"]
    assert without_times(tmp_path / "stopped") == without_times(tmp_path / "whole")
    assert summary["metrics"].keys() == expected["metrics"].keys()
    assert summary["skipped"] == expected["skipped"]
    assert summary["train_step_compilations"] == 1
    held = [checkpoints.load(tmp_path / name, which="best") for name in ("whole", "stopped")]
    assert held[0][0] == held[1][0]
    assert trees.digest(held[0][1]) == trees.digest(held[1][1])
    assert trees.digest(checkpoints.load(tmp_path / "whole")[1]) == trees.digest(
        checkpoints.load(tmp_path / "stopped")[1]
    )


def test_a_run_killed_without_warning_repeats_the_steps_since_its_last_save(tmp_path, monkeypatch):
    plan = tiny.plan_on(1, checkpoint=dict(every="4 steps"), log_every="1 step")
    expected = tiny.run(plan, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(preemption, "watch", dies_at(7))
        save = checkpoints.Checkpoints.save

        def whole(self, *arguments, **options):
            save(self, *arguments, **options)
            self._latest.wait_until_finished()

        patch.setattr(checkpoints.Checkpoints, "save", whole)
        with pytest.raises(KeyboardInterrupt):
            tiny.run(plan, tmp_path / "killed")
    assert [row["step"] for row in rows(tmp_path / "killed")] == [1, 2, 3, 4, 5, 6, 7]
    summary = tiny.run(plan, tmp_path / "killed")
    assert summary["state_sha256"] == expected["state_sha256"]
    assert without_times(tmp_path / "killed") == without_times(tmp_path / "whole")


def dies_at(step):
    """Stands in for `preemption.watch`: the run ends at once after a step."""

    @contextlib.contextmanager
    def watch():
        asked = itertools.count(1)

        def stop_asked():
            if next(asked) == step:
                raise KeyboardInterrupt
            return False

        yield stop_asked

    return watch


def test_a_run_that_only_lacks_its_summary_trains_no_more(tmp_path):
    plan = tiny.plan_on(1, evaluate=TEST)
    first = tiny.run(plan, tmp_path)
    before = without_times(tmp_path)
    second = tiny.run(plan, tmp_path)
    assert second["train_step_compilations"] == 0
    assert second["state_sha256"] == first["state_sha256"]
    assert second["metrics"] == first["metrics"]
    assert without_times(tmp_path) == before
    assert np.load(tmp_path / "evaluation.npz")["test/confusion"].sum() == 21


# Saving, and the summary.


def test_the_best_is_kept_wherever_it_was_measured(tmp_path, monkeypatch):
    found = iter([0.5, 0.7, float("nan"), 0.6, 0.9, 0.8])
    monkeypatch.setattr(evaluating, "measured", lambda *a: {"test/accuracy": next(found)})
    plan = tiny.plan_on(
        1,
        evaluate=dict(test=dict(kind="metrics", every="2 steps")),
        checkpoint=dict(every="100%", best="test/accuracy"),
    )
    tiny.run(plan, tmp_path)
    step, leaves = checkpoints.load(tmp_path, which="best")
    assert step == 10
    assert int(leaves["state/step"]) == 10


@pytest.mark.parametrize(("metric", "step"), [("test/accuracy", 6), ("test/loss", 4)])
def test_which_is_the_best_follows_from_the_metric(tmp_path, monkeypatch, metric, step):
    found = iter([float("nan"), 0.5, 0.7, 0.6, 0.5, 0.6])
    monkeypatch.setattr(evaluating, "measured", lambda *a: {metric: next(found)})
    plan = tiny.plan_on(
        1,
        evaluate=dict(test=dict(kind="metrics", every="2 steps")),
        checkpoint=dict(every="100%", best=metric),
    )
    tiny.run(plan, tmp_path)
    assert checkpoints.load(tmp_path, which="best")[0] == step


def test_what_a_finished_run_reports(tmp_path):
    reported = dict(metric="test/accuracy", value=0.75, source="a table")
    plan = tiny.plan_on(2, evaluate=TEST, reported=reported)
    summary = tiny.run(plan, tmp_path)
    final = {name: value for row in rows(tmp_path) for name, value in row.items()}
    final = {name: value for name, value in final.items() if name not in ("step", "wall_time")}
    assert summary["metrics"] == final
    accuracies = column(tmp_path, "test/accuracy")
    assert summary["best"] == {"test/accuracy": max(accuracies.values())}
    assert summary["result"] == {
        "metric": "test/accuracy",
        "value": accuracies[12],
        "reported": 0.75,
        "source": "a table",
        "gap": accuracies[12] - 0.75,
    }
    assert summary["status"] == "finished"
    assert summary["steps"] == 12
    assert summary["seed"] == 0
    assert summary["parameters"] == 64 * 5 + 5 + 5 * 4 + 4
    assert summary["skipped"] == {"steps": 0, "examples": 0}
    assert summary["examples_per_second"] > 0
    assert_state_is(tmp_path, tiny.take_steps(plan, 12).carry.state, step=12)
    assert summary["state_sha256"] == trees.digest(tiny.take_steps(plan, 12).carry.state)
    assert json.loads(json.dumps(summary)) == summary


def test_the_best_of_an_error_is_the_least(tmp_path):
    reported = dict(metric="test/loss", value=0.75, source="a table")
    summary = tiny.run(tiny.plan_on(1, evaluate=TEST, reported=reported), tmp_path)
    assert summary["best"] == {"test/loss": min(column(tmp_path, "test/loss").values())}


def test_a_run_without_evaluators_or_averages(tmp_path):
    summary = tiny.run(tiny.plan_on(1), tmp_path)
    assert all(name.startswith("train/") for name in summary["metrics"])
    assert summary["best"] == {}
    assert summary["result"] is None
    assert not (tmp_path / "evaluation.npz").exists()


def test_samples_for_the_report(tmp_path):
    augment = [dict(name="random_crop", padding=1)]
    split = dict(fit=dict(kind="metrics", split="train"))
    tiny.run(tiny.plan_on(2, evaluate=split, augment=augment), tmp_path)
    data = tiny.arrays(50)
    # Nothing is evaluated on "test", so its examples are not asked for.
    shown = np.load(tmp_path / "predictions.npz")
    assert list(shown["label_names"]) == list(tiny.CLASSES)
    np.testing.assert_array_equal(shown["image"], data["image"][shown["row"]])
    np.testing.assert_array_equal(shown["label"], data["label"][shown["row"]])
    np.testing.assert_allclose(shown["probabilities"].sum(axis=1), 1, rtol=1e-6)
    views = np.load(tmp_path / "augmented.npz")["image"]
    assert views.shape == (6, 8, 8, 8, 1)
    assert views.dtype == np.uint8
    first = pipeline.rows(np.arange(6), 0, 50)
    np.testing.assert_array_equal(views[:, 0], data["image"][first])
    assert any((views[:, i] != views[:, 0]).any() for i in range(1, 8))
