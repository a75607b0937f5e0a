"""A dry run shows what a run would be, and trains and writes nothing."""

import types

import jax
import numpy as np
import pytest

from library.apps import dry_run, planning
from library.config import ConfigError
from library.run import stepping
from library.run.feed import Feed
from library.summaries import summarize
from tests import tiny

PIXELS, HIDDEN, CLASSES, BATCH = 64, 5, 4, 16
MOMENTUM = dict(name="sgd", learning_rate=0.1, momentum=0.9)


@pytest.fixture(autouse=True)
def data(monkeypatch):
    tiny.serve(monkeypatch, train=tiny.arrays(48), test=tiny.arrays(20, seed=1))


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """An empty working directory, which stays empty."""
    monkeypatch.chdir(tmp_path)
    yield
    assert list(tmp_path.iterdir()) == []


def test_params_and_bytes_are_those_of_the_run(nowhere):
    plan = dry_run.planned(tiny.config(optimizer=MOMENTUM), jax.devices()[:1])
    counts = dry_run.parameters(plan)
    assert counts == {
        "hidden1": PIXELS * HIDDEN + HIDDEN,
        "head": HIDDEN * CLASSES + CLASSES,
    }
    held = planning.held_bytes(plan)
    feed = Feed(plan)
    state = stepping.initial_carry(plan, feed).state
    assert held["params"] == 4 * sum(counts.values())
    assert held["optimizer state"] == sum(x.nbytes for x in jax.tree.leaves(state.opt_state))
    assert held["batch"] == sum(x.nbytes for x in feed.first.values())
    assert set(held) == {"params", "optimizer state", "batch"}


def test_the_table_names_all_parts(nowhere):
    plan = dry_run.planned(tiny.config(dataset=dict(cache="device")), jax.devices()[:2])
    table = dry_run.table(plan)
    left, right = (list(column.cells) for column in table.columns)
    rows = dict(zip(left, right))
    assert rows["all params"] == "349"
    assert rows["params, on each of 2 device(s)"] == "1.4 kB"
    assert rows["dataset, on each of 2 device(s)"].endswith("kB")
    assert rows["temporary values of a step"] == "not counted, see experiments.plan"
    assert rows[f"a step of {BATCH}"].endswith("FLOP")
    assert rows["the run"] == "12 steps"


def test_players_are_counted_by_their_modules():
    def leaf(*shape):
        return np.zeros(shape)

    params = {"generator": {"a": {"kernel": leaf(2, 3), "bias": leaf(3)}, "b": leaf(4)}}
    plan = types.SimpleNamespace(
        recipe=types.SimpleNamespace(model={"generator": {"name": "x"}}),
        state=types.SimpleNamespace(params=params),
    )
    assert dry_run.parameters(plan) == {"generator/a": 9, "generator/b": 4}


def test_a_step_without_jit_is_the_first_step_of_the_run(nowhere):
    values = tiny.config(
        model=dict(name="mlp.mlp", hidden=(HIDDEN,)),
        dataset=dict(cache="device"),
        parallel=dict(strategy="pmap"),
        steps_per_call=3,
    )
    shown, without_jit = [], []

    def show(line):
        shown.append(line)
        # The calls of modules are shown while they run.
        if " -> " in line:
            without_jit.append(jax.config.jax_disable_jit)

    assert dry_run.debug(values, show)
    assert without_jit
    assert all(without_jit)
    assert "  image: uint8[16,8,8,1]" in shown
    assert "  hidden1 (Dense): float32[16,64] -> float32[16,5]" in shown
    assert "  head (Dense): float32[16,5] -> float32[16,4]" in shown
    assert "  (the model itself) (MLP): float32[16,8,8,1] -> float32[16,4]" in shown
    assert len(set(shown)) == len(shown)
    assert shown[-1] == "the step is finite"
    loss = float(next(line for line in shown if line.startswith("  loss: ")).split()[-1])
    first = tiny.take_steps(tiny.plan_on(1), 1).sums[0]
    assert loss == pytest.approx(summarize(first)["loss"], rel=1e-3)


def test_a_trial_step_shows_the_error_itself():
    values = tiny.config(
        task=dict(name="classification", inputs=["image", "label"]), model=tiny.CONV
    )
    with pytest.raises(TypeError, match="multiple values for argument 'train'"):
        dry_run.debug(values, print)
    with pytest.raises(ConfigError, match="takes no 'cach'"):
        dry_run.debug(tiny.config(dataset=dict(cach="device")), print)
