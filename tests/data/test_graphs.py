"""Batches of graphs are one flat graph, whoever makes them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.data import graphs, graphs_in_memory, sources
from library.data.preprocessing import UnfitExample
from library.run.feed import Feed
from library.run.recipe import make_plan
from library.task import Task, pair
from library.tasks import regression
from tests import often, tiny

BUDGET = dict(num_graphs=2, num_nodes=10, num_edges=14, of_nodes=("charge",))
CACHES = ["none", "device"]
RANDOM = np.random.default_rng(0)
SIZES = RANDOM.integers(2, 6, 48)


def graph(number):
    """A ring of so many nodes, each with its own number, and an edge kind."""
    size = SIZES[number % 48]
    place = np.arange(size)
    return {
        "nodes": np.float32(100 * number + place)[:, None],
        "edges": np.stack([place, (place + 1) % size], axis=1),
        "edges_kind": place % 3,
        "charge": place * 2,
        "label": np.int32(size),
    }


def of_objects(rows):
    """Features of graphs as arrays of objects, as sources hold what varies."""
    found = {}
    for name in graph(0):
        values = np.empty(len(rows), object)
        values[:] = [graph(row)[name] for row in rows]
        found[name] = values
    found["label"] = np.array([graph(row)["label"] for row in rows])
    return found


@pytest.fixture(autouse=True)
def served(monkeypatch):
    splits = {name: of_objects(range(*rows)) for name, rows in dict(train=(48,), test=(5,)).items()}
    made = {name: sources.from_arrays(x, name="graphs") for name, x in splits.items()}
    tiny.serve(monkeypatch, **made)
    monkeypatch.setattr(around, "__module__", regression.__name__)
    monkeypatch.setattr(regression, "around", around, raising=False)


def around(model, minimize) -> Task:
    """Predicts the size of a ring: a message along each edge, summed over its graph."""

    def predicted(params, batch):
        sent = params["weight"] * batch["edges_mask"]
        got = jax.ops.segment_sum(sent, batch["edges"][:, 1], len(batch["nodes"]))
        return jax.ops.segment_sum(got * batch["nodes_mask"], batch["graph"], len(batch["label"]))

    def metrics(params, batch):
        error = jnp.square(predicted(params, batch) - batch["label"]) / 100
        return {"loss": pair(error, batch["mask"])}

    learner = minimize(lambda params, variables, batch, key: (metrics(params, batch), variables))
    return Task(
        lambda key, batch: learner.init({"params": {"weight": jnp.ones(()) / 2}}),
        learner.update,
        lambda state, batch, key: metrics(state.params, batch),
        {},
    )


def config(**changes):
    dataset = {"batch_size": 16, "graphs": BUDGET, **changes.pop("dataset", {})}
    own = dict(task=dict(name="regression.around"), normalize=None, total="6 steps")
    return tiny.config(**{**own, **changes, "dataset": dataset})


def examples(rows):
    return [{**graph(row), "row": np.uint32(row)} for row in rows]


def test_a_batch_is_one_graph_whose_parts_are_made_alone():
    budget = graphs.Budget(**BUDGET)
    rows = [3, 1, 4, 1, 5, 9, 2, 6]
    whole = graphs.collate(budget, examples(rows))
    parts = [graphs.collate(budget, examples(own)) for own in (rows[:2], rows[2:6], rows[6:])]
    for name, values in whole.items():
        np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), values)
    batch = jax.device_get(graphs.joined(whole, budget))
    assert batch["nodes"].shape == (40, 1)
    assert batch["edges"].shape == (56, 2)
    there = batch["nodes_mask"] > 0
    for place, row in enumerate(rows):
        own = there & (batch["graph"] == place)
        np.testing.assert_array_equal(batch["nodes"][own], graph(row)["nodes"])
        np.testing.assert_array_equal(batch["charge"][own], graph(row)["charge"])
    real = batch["edges_mask"] > 0
    ends = batch["nodes"][batch["edges"][real]][..., 0]
    expected = np.concatenate([graph(row)["nodes"][graph(row)["edges"]][..., 0] for row in rows])
    np.testing.assert_array_equal(ends, expected)
    kinds = np.concatenate([graph(row)["edges_kind"] for row in rows])
    np.testing.assert_array_equal(batch["edges_kind"][real], kinds)
    np.testing.assert_array_equal(batch["label"], [graph(row)["label"] for row in rows])


def test_a_group_over_its_budget_is_refused_by_its_rows():
    with pytest.raises(UnfitExample, match=r"the 2 graphs of rows .* nodes: .*num_nodes=3 is"):
        graphs.collate(graphs.Budget(2, 3, 99), examples([0, 1]))


def test_eight_devices_are_one_and_a_run_goes_on_anywhere():
    one, eight = (
        tiny.take_steps(make_plan(config(), devices=jax.devices()[:count]), 4) for count in (1, 8)
    )
    np.testing.assert_allclose(eight.losses, one.losses, rtol=1e-6)
    assert one.losses[-1] < one.losses[0]
    pmap = make_plan(config(parallel=dict(strategy="pmap")), devices=jax.devices()[:4])
    np.testing.assert_allclose(tiny.take_steps(pmap, 4).losses, one.losses, rtol=1e-6)
    feed = Feed(make_plan(config(), devices=jax.devices()[:1]))
    first, later = feed.train(0), feed.train(2)
    batches = [next(first) for _ in range(3)]
    for name, values in next(later).items():
        np.testing.assert_array_equal(values, batches[2][name])


def test_the_device_makes_the_batches_of_the_host():
    budget, every = graphs.Budget(**BUDGET), [{**x, "mask": 1.0} for x in examples(range(48))]
    held, rows = graphs_in_memory.packed(budget, every), np.array([3, 47, 4, 1, 0, 9, 2, 6])
    theirs = graphs.collate(budget, [every[row] for row in rows])
    batch = {"row": rows.astype(np.uint32), "mask": np.ones(8, np.float32)}
    ours = jax.jit(graphs_in_memory.gathered, static_argnums=0)(budget, held, batch)
    assert ours.keys() == theirs.keys()
    for name, values in theirs.items():
        np.testing.assert_array_equal(ours[name], values, err_msg=name)
    for row in (0, 47):
        alone = graphs_in_memory.example(budget, held, row)
        jax.tree.map(np.testing.assert_array_equal, alone, {**graph(row), "mask": 1.0})
    graphs_in_memory.check_fit(budget, held, rows)
    with pytest.raises(UnfitExample, match=r"the 2 graphs of rows .* nodes: .*num_nodes=3 is"):
        graphs_in_memory.check_fit(budget._replace(num_nodes=3), held, rows)


@pytest.mark.full
def test_runs_from_device_memory_are_those_from_the_host(tmp_path):
    ends, calls = [], ((CACHES[0], 1), (CACHES[1], 1), (CACHES[1], 3))
    for cache, steps in calls:
        values = config(dataset=dict(cache=cache), steps_per_call=steps)
        plan = make_plan(values, devices=jax.devices()[:2])
        ends.append(tiny.run(plan, tmp_path / f"{cache}{steps}")["state_sha256"])
    assert ends[0] == ends[1] == ends[2]


@pytest.mark.full
def test_a_group_over_its_budget_in_device_memory_is_refused():
    tight = dict(BUDGET, num_nodes=8)
    plan = make_plan(config(dataset=dict(cache="device", graphs=tight)), devices=jax.devices()[:1])
    with pytest.raises(UnfitExample, match=r"the 2 graphs of rows .* nodes: .*num_nodes=8 is"):
        list(zip(range(9), Feed(plan).train(0)))


@pytest.mark.parametrize("cache", often.first(1, CACHES))
def test_an_evaluation_counts_each_graph_once(tmp_path, cache):
    values = config(dataset=dict(cache=cache), evaluate=dict(test=dict(kind="metrics")))
    plan = make_plan(values, devices=jax.devices()[:1])
    summary = tiny.run(plan, tmp_path / "run")
    weight = tiny.take_steps(plan, 6).carry.state.params["weight"]
    sizes = SIZES[:5]
    expected = np.mean((float(weight) * sizes - sizes) ** 2 / 100)
    assert summary["metrics"]["test/loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (dict(accumulate=2), "batches of graphs need accumulate=1"),
        (dict(dataset=dict(graphs=dict(BUDGET, num_graphs=3))), "need a multiple of 3"),
        (dict(dataset=dict(graphs=dict(num_graphs=1))), "needs 'num_nodes'"),
        (dict(dataset=dict(graphs=dict(BUDGET, of_edges=["kind"]))), "unknown feature of dataset"),
        (dict(preprocess=[dict(name="select", keys=["nodes"])]), "have no 'edges', only nodes"),
    ],
)
def test_batches_that_do_not_fit_are_refused(changes, said):
    with pytest.raises(ConfigError, match=said):
        make_plan(config(**changes), devices=jax.devices()[:1])
