"""The kernel beside graph networks, against values by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.evaluation import weisfeiler_lehman as wl
from library.evaluation.constant_prediction import constant_prediction
from library.evaluation.context import Context
from library.task import Task, TrainState


def graphs(*given):
    """Joins graphs, each the colours of its nodes and its edges, written once."""
    colour, edges, graph, first = [], [], [], 0
    for number, (kinds, pairs) in enumerate(given):
        colour += kinds
        edges += [(first + a, first + b) for pair in pairs for a, b in (pair, pair[::-1])]
        graph += [number] * len(kinds)
        first += len(kinds)
    edges = np.array(edges, int).reshape(-1, 2)
    return wl.Graphs(np.array(colour), edges, np.array(graph), np.zeros(len(given), int))


PATH = [0, 0, 0], [(0, 1), (1, 2)]
RING = [0] * 6, [(i, (i + 1) % 6) for i in range(6)]
TRIANGLES = [0] * 6, [(0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3)]


def kernel(iterations, *given):
    counts = wl.colour_counts(graphs(*given), iterations)
    return (counts @ counts.T).toarray()


def test_the_kernel_counts_pairs_of_nodes_of_one_colour():
    assert kernel(0, PATH).item() == 9
    # The ends of a path of three are alike, and its middle is not.
    assert kernel(1, PATH).item() == 9 + 4 + 1
    pair = [0, 1], [(0, 1)]
    found = kernel(1, PATH, pair)
    # The pair has one node of the path's colour, and none with a neighbour of that colour.
    np.testing.assert_array_equal(found, [[14, 3], [3, 2 + 2]])
    # Colours are told apart by all neighbours, not by the set of their colours.
    star = [0] * 4, [(0, 1), (0, 2), (0, 3)]
    assert kernel(1, PATH, star)[0, 1] == 3 * 4 + 2 * 3


def test_what_the_test_cannot_tell_has_the_same_kernel():
    found = kernel(4, RING, TRIANGLES)
    assert np.ptp(found) == 0
    assert found[0, 0] == 5 * 36


def batches(split, batch_size):
    """Yields two batches of labelled graphs, rings and paths, with padding in all places."""
    for start in (0, 4):
        nodes, edges, graph, label = [], [], [], []
        for place in range(4):
            size, ring = 5 + (start + place) % 3, (start + place) % 2
            first = len(nodes)
            nodes += [[1.0, 0]] * size
            pairs = [(i, (i + 1) % size) for i in range(size if ring else size - 1)]
            edges += [(first + a, first + b) for p in pairs for a, b in (p, p[::-1])]
            graph += [place] * size
            label.append(ring)
        real = len(nodes), len(edges)
        yield {
            "nodes": np.array(nodes + [[0.0, 9]] * 3),
            "nodes_mask": np.array([1.0] * real[0] + [0] * 3),
            "edges": np.array([*edges, (0, 1)]),
            "edges_mask": np.array([1.0] * real[1] + [0]),
            "graph": np.array(graph + [0] * 3),
            "label": np.array([*label, 7]),
            "target": np.array([[1.0], [2], [3], [start], [99]]),
            "mask": np.array([1.0] * 4 + [0]),
        }


def collect(function):
    def collected(state, batch):
        batch = {name: jnp.asarray(x) for name, x in batch.items()}
        return jax.device_get(function(state, batch, jax.random.key(0)))

    return collected


CONTEXT = Context(Task(None, None, None, {}), batches, lambda f: f, collect)
STATE = TrainState(jnp.zeros((), jnp.int32), {}, {}, (), None)


def test_rings_are_told_from_paths():
    assert wl.weisfeiler_lehman(CONTEXT)(STATE) == {"accuracy": 1.0}
    found = wl.joined(batches("test", None))
    assert (len(found.label), found.graph.max(), set(found.label)) == (8, 7, {0, 1})
    assert np.array_equal(found.graph[found.edges[:, 0]], found.graph[found.edges[:, 1]])
    with pytest.raises(ConfigError, match="iterations=-1"):
        wl.weisfeiler_lehman(CONTEXT, iterations=-1)


def test_a_constant_is_the_mean_or_the_median_of_the_training_targets():
    found = constant_prediction(CONTEXT)(STATE)
    target = np.array([1, 2, 3, 0, 1, 2, 3, 4.0])
    assert found["mean_mae"] == np.abs(target - 2).mean()
    assert found["mean_rmse"] == np.sqrt(np.square(target - 2).mean())
    assert found["median_mae"] == np.abs(target - 2).mean()
