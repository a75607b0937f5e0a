"""A task that moves its params itself: no optimizer, and durations in units of its own."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.run.recipe import make_plan
from library.summaries import summarize
from library.task import Task, TrainState, pair
from library.tasks import regression
from tests import tiny


def mean_image(model, *, batch_size: int, rate: float = 0.5) -> Task:
    """Follows the mean of the images; of its metrics one means more than its mean."""

    def init(key, batch):
        params = {"mean": jnp.zeros(batch["image"].shape[1:])}
        return TrainState(jnp.zeros((), jnp.int32), params, {}, (), None)

    def measured(state, batch):
        error = jnp.square(batch["image"] - state.params["mean"]).mean(axis=(1, 2, 3))
        return {"loss": pair(error, batch["mask"]), "error": pair(error, batch["mask"])}

    def update(state, batch, key):
        mean = (1 - rate) * state.params["mean"] + rate * batch["image"].mean(0)
        return state.replace(step=state.step + 1, params={"mean": mean}), measured(state, batch)

    def root(total, count):
        return {"rmse": float(np.sqrt(total / count)), "each": np.atleast_1d(total)}

    return Task(init, update, lambda s, b, k: measured(s, b), {}, {"error": root})


mean_image.units = lambda rate, **_: {"frames": 4 if rate == 0.5 else 8}


def walk(model, *, batch_size: int) -> Task:
    """Makes its own data: the sum of the places that it has been handed."""

    def init(key, batch):
        return TrainState(jnp.zeros((), jnp.int32), {"sum": jnp.zeros(())}, {}, (), None)

    def measured(state, batch):
        return {"place": pair(batch["index"].astype(jnp.float32), batch["mask"])}

    def update(state, batch, key):
        moved = {"sum": state.params["sum"] + batch["index"].sum()}
        return state.replace(step=state.step + 1, params=moved), measured(state, batch)

    return Task(init, update, lambda s, b, k: measured(s, b), {})


CONFIG = dict(task=dict(name="regression.mean_image"), optimizer=None, total="48 frames")


@pytest.fixture(autouse=True)
def served(monkeypatch):
    tiny.serve(monkeypatch, train=tiny.arrays(32), test=tiny.arrays(8, seed=1))
    for task in (mean_image, walk):
        monkeypatch.setattr(task, "__module__", regression.__name__)
        monkeypatch.setattr(regression, task.__name__, task, raising=False)
    assert "minimize" not in inspect.signature(mean_image).parameters


def test_a_run_without_an_optimizer_runs_to_its_end(tmp_path):
    evaluate = dict(test=dict(kind="metrics", every="24 frames"))
    plan = tiny.plan_on(1, **CONFIG, evaluate=evaluate, log_every="16 frames")
    assert plan.total_steps == 12
    assert plan.learning_rates == {}
    assert plan.measured == {
        f"{where}/{what}" for where in ("train", "test") for what in ("loss", "rmse")
    }
    summary = tiny.run(plan, tmp_path / "run")
    found = summary["metrics"]
    assert found["train/rmse"] == pytest.approx(np.sqrt(found["train/loss"]), rel=1e-5)
    assert found["test/rmse"] == pytest.approx(np.sqrt(found["test/loss"]), rel=1e-5)
    taken = tiny.take_steps(tiny.plan_on(1, **CONFIG), 12)
    assert np.isfinite(jax.device_get(taken.carry.state.params["mean"])).all()
    first = summarize(taken.sums[0], plan.task.summaries)
    assert first["rmse"] == pytest.approx(np.sqrt(first["loss"]), rel=1e-5)


def test_units_follow_the_arguments_of_the_task():
    task = dict(name="regression.mean_image", rate=0.25)
    assert tiny.plan_on(1, **{**CONFIG, "task": task}).total_steps == 6


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (dict(total="48 moves"), "'48 moves' is not a duration: .* examples, %, frames"),
        (dict(total="48 stps"), "'48 stps' is not a duration"),
        (dict(optimizer=dict(name="sgd", learning_rate=0.1)), "optimizer=.* has no effect"),
        (dict(accumulate=2), "accumulate=2 has no effect: task 'regression.mean_image' updates"),
        (
            dict(task=dict(name="classification"), total="4 steps"),
            "needs 'optimizer': task 'classification'",
        ),
        (dict(task=dict(name="classification"), total="4 frames"), "'4 frames' is not a duration"),
    ],
)
def test_what_does_not_fit_is_refused(changes, said):
    with pytest.raises(ConfigError, match=said):
        make_plan(tiny.config(**{**CONFIG, **changes}))


def without_data(devices=1, **changes):
    own = dict(task=dict(name="regression.walk"), optimizer=None, preprocess=[], normalize=None)
    return tiny.plan_on(devices, **{**own, "dataset": dict(name="none"), **changes})


def test_a_system_without_data_counts_steps(tmp_path):
    evaluate = dict(test=dict(kind="metrics", every="6 steps"))
    plan = without_data(evaluate=evaluate)
    summary = tiny.run(plan, tmp_path / "run")
    # An evaluation is one batch, of the places 0 to 15.
    assert summary["metrics"]["test/place"] == 7.5
    assert "train/epoch" not in summary["metrics"]
    taken = tiny.take_steps(without_data(8), 12)
    assert float(taken.carry.state.params["sum"]) == sum(range(12 * 16))
    with pytest.raises(ConfigError, match="has no data and so no epochs"):
        without_data(total="3 epochs")
    with pytest.raises(ConfigError, match="does not support a run without data"):
        without_data(dataset=dict(name="none", cache="device"))
