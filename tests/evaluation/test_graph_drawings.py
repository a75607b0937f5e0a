"""Pictures of graphs have their nodes, their edges, and the attention of a model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library import painting
from library.config import ConfigError
from library.evaluation import graph_drawings as module
from library.evaluation.context import Context
from library.evaluation.graph_drawings import graph_drawings
from library.task import Task, TrainState

# A square, a graph of one node, and padding.
BATCH = {
    "nodes": np.eye(6)[[0, 1, 0, 1, 5, 3]],
    "nodes_mask": np.array([1.0, 1, 1, 1, 1, 0]),
    "edges": np.array([[0, 1], [1, 2], [2, 3], [3, 0], [0, 0]]),
    "edges_mask": np.array([1.0, 1, 1, 1, 0]),
    "graph": np.array([0, 0, 0, 0, 1, 0]),
    "mask": np.array([1.0, 1, 0]),
    "row": np.array([7, 8, 0]),
}


STATE = TrainState(jnp.zeros((), jnp.int32), {}, {}, (), None)


def collect(function):
    def collected(state, batch):
        batch = {name: jnp.asarray(x) for name, x in batch.items()}
        return jax.device_get(function(state, batch, jax.random.key(0)))

    return collected


def context(attention):
    stored = {"layer": {"attention": None if attention is None else jnp.asarray(attention)}}
    task = Task(None, None, None, {"intermediates": lambda state, batch, key: stored})
    return Context(task, lambda split, size: iter([BATCH]), lambda f: f, collect)


def colours_of(image):
    return {tuple(x) for x in image.reshape(-1, 3).tolist()}


def test_nodes_have_the_colours_of_their_kinds():
    found = graph_drawings(context(None), size=64)(STATE)
    assert found["graphs"].shape == (2, 64, 64, 3)
    assert found["graphs_captions"].tolist() == ["test[7]", "test[8]"]
    kinds = [tuple(x) for x in painting.colours(7)[1:].tolist()]
    square, point = map(colours_of, found["graphs"])
    assert {kinds[0], kinds[1]} <= square
    assert kinds[5] in point
    assert kinds[0] not in point
    again = graph_drawings(context(None), size=64)(STATE)
    np.testing.assert_array_equal(again["graphs"], found["graphs"])


def test_attention_makes_edges_dark_and_nodes_large():
    dark = np.array([[1.0, 1]] * 4 + [[9, 9]] + [[0, 0]] * 6)
    options = dict(attention="layer/attention", size=64)
    black, grey = (
        graph_drawings(context(weights), **options)(STATE)["graphs"][0]
        for weights in (dark, 0 * dark)
    )
    assert np.sum(np.all(black == 0, axis=-1)) > np.sum(np.all(grey == 0, axis=-1)) + 40
    assert (200, 200, 200) in colours_of(grey)
    small, large = (graph_drawings(context(np.full(6, x)), **options)(STATE) for x in (0.0, 1.0))
    white = [np.sum(np.all(x["graphs"][1] == 255, axis=-1)) for x in (small, large)]
    assert white[1] < white[0] - 150
    with pytest.raises(ConfigError, match="stores no 'layers', did you mean 'layer'"):
        graph_drawings(context(dark), attention="layers/attention")(STATE)
    with pytest.raises(ConfigError, match="num=0"):
        graph_drawings(context(dark), num=0)


def test_surroundings_are_the_nodes_within_some_edges():
    found = graph_drawings(context(None), hops=2, num=9, size=64)(STATE)
    # Edges of the square go one way here; two of them reach three of its four nodes.
    assert found == {}
    found = graph_drawings(context(None), hops=3, num=9, size=64)(STATE)
    told = [f"test, around node {node}" for node in range(4)]
    assert found["graphs_captions"].tolist() == told


def test_neighbours_are_nearer_than_others():
    path = np.array([[i, i + 1] for i in range(4)])
    places = module.layout(5, path)
    assert (places.min(), places.max()) == (0, 1)
    distance = np.linalg.norm(places[:, None] - places[None], axis=-1)
    assert np.max(distance[path[:, 0], path[:, 1]]) < distance[0, 4] / 2
    assert module.layout(1, np.zeros((0, 2), int)).shape == (1, 2)
