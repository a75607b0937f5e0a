"""Graph networks are their papers' formulas with dense matrices, in any order and with padding."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.layers import message_passing
from library.models.graph.gat import gat
from library.models.graph.gcn import gcn
from library.models.graph.gin import gin, masked, molecules
from library.models.graph.graphsage import graphsage, sampled
from library.models.graph.mpnn import mpnn
from tests import often

KEY = jax.random.key(0)
SIZES, WIDTH, KINDS = (7, 4, 1), 5, 3
RANDOM = np.random.default_rng(0)


def batch(extra=0):
    """Returns three random graphs as one, the last of a single node, with padding of nonsense."""
    random, first, edges, graph = np.random.default_rng(1), 0, [], []
    for number, size in enumerate(SIZES):
        pairs = [(i, j) for i in range(size) for j in range(i) if random.random() < 0.5]
        edges += [(first + a, first + b) for i, j in pairs for a, b in ((i, j), (j, i))]
        graph += [number] * size
        first += size
    found = {
        "nodes": random.normal(size=(first, WIDTH)),
        "edges": np.array(edges, np.int32),
        "graph": np.array(graph, np.int32),
        "nodes_mask": np.ones(first),
        "edges_mask": np.ones(len(edges)),
        "mask": np.ones(len(SIZES)),
        "edge_features": random.normal(size=(len(edges), KINDS)),
        "masked": (random.random(first) < 0.3).astype(float),
    }
    return {k: x if k == "mask" else padded(k, x, extra) for k, x in found.items()}


def padded(name, x, extra):
    """Returns an array with entries at its end that must not matter."""
    value = 0 if name.endswith("mask") or x.dtype == np.int32 else 1e3
    return np.concatenate([x, np.full((extra, *x.shape[1:]), value, x.dtype)])


NODE = ("nodes", "edges", "edges_mask", "nodes_mask")
GRAPH = ("nodes", "edges", "graph", "nodes_mask", "edges_mask", "mask")
BONDS = (*GRAPH, "edge_features")
MODELS = {
    "gcn": (functools.partial(gcn, hidden=(6,)), NODE),
    "gat": (functools.partial(gat, hidden=(4,), num_heads=2, last_heads=3), NODE),
    "mean": (functools.partial(graphsage, width=4, samples=(3, 2)), NODE),
    "pool": (functools.partial(graphsage, width=4, samples=(3, 2), aggregator="pool"), NODE),
    "gin": (functools.partial(gin, width=6, depth=2, learn_epsilon=True), GRAPH),
    "molecules": (functools.partial(molecules, width=6, depth=2), BONDS),
    "masked": (
        functools.partial(masked, width=6, depth=2),
        ("nodes", "edges", "nodes_mask", "edges_mask", "edge_features", "masked"),
    ),
    "mpnn": (functools.partial(mpnn, width=4, steps=2, edge_hidden=5, readout_steps=2), BONDS),
}


@functools.cache
def made(name):
    """Returns a model, its compiled form, random variables and the names of its inputs."""
    build, names = MODELS[name]
    model = build(num_classes=3)
    given = [np.float32(x) if x.dtype == float else x for x in (batch()[k] for k in names)]
    shapes = jax.eval_shape(model.init, KEY, *given)
    random = np.random.default_rng(2)
    # Variances are squares.
    variables = jax.tree.map(lambda x: np.square(random.normal(size=x.shape)) + 0.1, shapes)
    variables["params"] = jax.tree.map(lambda x: random.normal(size=x.shape), shapes["params"])
    return model, jax.jit(model.apply), variables, names


def result(name, given):
    _, apply, variables, names = made(name)
    return np.asarray(apply(variables, *(given[k] for k in names)))


@pytest.fixture(autouse=True)
def _doubles():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("name", often.but(["pool", "molecules", "mpnn"], MODELS))
def test_padding_and_the_order_of_nodes_and_edges_change_nothing(name):
    own = batch()
    size = sum(SIZES)
    expected = result(name, own)
    by_graph = "graph" in MODELS[name][1]
    # Order, of nodes and of edges; padding after them.
    order, turned = RANDOM.permutation(size), RANDOM.permutation(len(own["edges"]))
    moved = {
        k: x[turned] if k.startswith("edge") else x if k == "mask" else x[order]
        for k, x in own.items()
    }
    moved["edges"] = np.argsort(order)[moved["edges"]].astype(np.int32)
    given = {k: x if k == "mask" else padded(k, x, 3) for k, x in moved.items()}
    found = result(name, given)[: len(expected)]
    np.testing.assert_allclose(found, expected if by_graph else expected[order], atol=1e-9)
    assert np.ptp(expected) > 1e-3


def dense(own):
    """Returns the matrix whose entry (i, j) is 1 if there is an edge from j to i."""
    adjacency = np.zeros((sum(SIZES),) * 2)
    adjacency[own["edges"][:, 1], own["edges"][:, 0]] = 1
    return adjacency


def gcn_by_matrices(p, own):
    matrix = dense(own) + np.eye(sum(SIZES))
    scale = 1 / np.sqrt(matrix.sum(1))
    matrix = scale[:, None] * matrix * scale
    hidden = np.maximum(matrix @ own["nodes"] @ p["layer1"]["kernel"], 0)
    return matrix @ hidden @ p["head"]["kernel"]


def attention_by_matrices(p, x, there):
    """Returns the result of each head (n, h, d)."""
    heads, width = p["bias"].shape
    x = (x @ p["projection"]["kernel"]).reshape(-1, heads, width)
    found = []
    for h in range(heads):
        scores = (x[:, h] @ p["receiver"][h])[:, None] + (x[:, h] @ p["sender"][h])[None]
        scores = np.where(scores > 0, scores, 0.2 * scores)
        weights = np.exp(scores) * there
        found.append(weights / weights.sum(1, keepdims=True) @ x[:, h] + p["bias"][h])
    return np.stack(found, axis=1)


def gat_by_matrices(p, own):
    there = dense(own) + np.eye(sum(SIZES))
    x = attention_by_matrices(p["layer1"], own["nodes"], there).reshape(sum(SIZES), -1)
    x = np.where(x > 0, x, np.expm1(x))
    return attention_by_matrices(p["head"], x, there).mean(1)


def sage_by_matrices(p, own, aggregator):
    there = dense(own)
    there += np.diag(there.sum(1) == 0)
    x = own["nodes"]
    for i in (1, 2):
        own_part, near = p[f"layer{i}_own"]["kernel"], p[f"layer{i}_neighbours"]["kernel"]
        if aggregator == "mean":
            found = there / there.sum(1, keepdims=True) @ x
        else:
            pool = p[f"layer{i}_pool"]
            sent = np.maximum(x @ pool["kernel"] + pool["bias"], 0)
            found = np.where(there[:, :, None] > 0, sent[None], 0).max(1)
        x = np.concatenate([x @ own_part, found @ near], axis=1)
        x = np.maximum(x, 0) if i == 1 else x
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    return x @ p["head"]["kernel"] + p["head"]["bias"]


def linear(p, x):
    return x @ p["kernel"] + p["bias"]


def normalized(p, stats, x):
    return (x - stats["mean"]) / np.sqrt(stats["var"] + 1e-5) * p["scale"] + p["bias"]


def gin_by_matrices(p, own, stats):
    member = (own["graph"] == np.arange(len(SIZES))[:, None]).astype(float)
    x, adjacency = own["nodes"], dense(own)
    scores = linear(p["head0"], member @ x)
    for i in (1, 2):
        layer, kept = p["encoder"][f"layer{i}"], stats["encoder"]
        x = linear(layer["hidden"], (1 + layer["epsilon"]) * x + adjacency @ x)
        x = np.maximum(normalized(layer["norm"], kept[f"layer{i}"]["norm"], x), 0)
        x = linear(layer["out"], x)
        x = np.maximum(normalized(p["encoder"][f"norm{i}"], kept[f"norm{i}"], x), 0)
        scores += linear(p[f"head{i}"], member @ x)
    return scores


def mpnn_by_matrices(p, own):
    x = np.maximum(linear(p["embed"], own["nodes"]), 0)
    width = x.shape[1]
    hidden = np.maximum(linear(p["edge_hidden"], own["edge_features"]), 0)
    matrices = np.zeros((len(x), len(x), width, width))
    receiver, sender = own["edges"][:, 1], own["edges"][:, 0]
    matrices[receiver, sender] = linear(p["edge_matrix"], hidden).reshape(-1, width, width)
    for _ in range(2):
        near = np.einsum("ijab,jb->ia", matrices, x) + p["message_bias"]
        x, _ = nn.GRUCell(width).apply({"params": p["gru"]}, x, np.maximum(near, 0))
    rows = []
    for number in range(len(SIZES)):
        own_nodes, asked = x[own["graph"] == number], np.zeros((1, 2 * width))
        carry = (np.zeros((1, width)), np.zeros((1, width)))
        for _ in range(2):
            cell = {"params": p["set2set"]["lstm"]}
            carry, query = nn.OptimizedLSTMCell(width).apply(cell, carry, asked)
            weights = np.exp(own_nodes @ query[0])
            answer = weights / weights.sum() @ own_nodes
            asked = np.concatenate([query, answer[None]], axis=1)
        rows.append(asked[0])
    return linear(p["head"], np.maximum(linear(p["joined"], np.stack(rows)), 0))


@pytest.mark.parametrize(
    "name", often.but(["pool", "mpnn"], ["gcn", "gat", "mean", "pool", "gin", "mpnn"])
)
def test_a_network_is_the_formula_with_dense_matrices(name):
    own, variables = batch(), made(name)[2]
    p = variables["params"]
    expected = {
        "gcn": lambda: gcn_by_matrices(p, own),
        "gat": lambda: gat_by_matrices(p, own),
        "mean": lambda: sage_by_matrices(p, own, "mean"),
        "pool": lambda: sage_by_matrices(p, own, "pool"),
        "gin": lambda: gin_by_matrices(p, own, variables["batch_stats"]),
        "mpnn": lambda: mpnn_by_matrices(p, own),
    }[name]()
    np.testing.assert_allclose(result(name, own), expected, rtol=1e-6, atol=1e-9)


def test_two_layers_reach_two_edges_far():
    model, _, variables, _ = made("gcn")
    path = np.stack([np.arange(4), np.arange(1, 5)], axis=1)
    edges = jnp.asarray(np.concatenate([path, path[:, ::-1]]), jnp.int32)

    def first(nodes):
        return model.apply(variables, nodes, edges, jnp.ones(8), jnp.ones(5))[0]

    reached = jax.jit(jax.jacobian(first))(jnp.asarray(RANDOM.normal(size=(5, WIDTH))))
    assert [bool(np.any(reached[:, node])) for node in range(5)] == [True] * 3 + [False] * 2


def test_a_hidden_atom_does_not_show_its_kind():
    model, _, variables, names = made("masked")
    own = jax.tree.map(jnp.asarray, {**batch(), "masked": np.eye(sum(SIZES))[0]})

    def logits(nodes):
        return model.apply(variables, *({**own, "nodes": nodes}[k] for k in names))

    reached = jax.jit(jax.jacobian(logits))(own["nodes"])
    assert not np.any(reached[:, :, 0])
    assert np.any(reached[:, :, 1])


def test_neighbours_are_drawn_uniformly():
    edges = jnp.array([[1, 0], [2, 0], [3, 0], [0, 1], [9, 9]], jnp.int32)
    mask = jnp.array([1.0, 1, 1, 1, 0])
    drawn = np.asarray(jax.jit(sampled, static_argnums=(3, 4))(KEY, edges, mask, 4, 3000))
    assert set(drawn[0]) == {1, 2, 3}
    np.testing.assert_allclose(np.bincount(drawn[0])[1:] / 3000, 1 / 3, atol=0.05)
    assert set(drawn[1]) == {0}
    # A node without neighbours has itself.
    assert (set(drawn[2]), set(drawn[3])) == ({2}, {3})


def test_training_with_all_neighbours_drawn_is_evaluation():
    """On a ring of two nodes each node has one neighbour, whichever is drawn."""
    model, apply, variables, _ = made("mean")
    edges = jnp.array([[0, 1], [1, 0]], jnp.int32)
    given = (jnp.asarray(RANDOM.normal(size=(2, WIDTH))), edges, jnp.ones(2), jnp.ones(2))
    train = jax.jit(lambda *x: model.apply(variables, *x, train=True, rngs={"dropout": KEY}))
    np.testing.assert_allclose(train(*given), apply(variables, *given), atol=1e-9)


def test_networks_cannot_tell_what_the_weisfeiler_lehman_test_cannot():
    """A ring of six nodes, and two of three."""
    place = np.arange(6)
    ring = np.stack([place, (place + 1) % 6], axis=1)
    triangles = np.stack([place, place // 3 * 3 + (place + 1) % 3], axis=1)
    star = np.array([[0, i] for i in range(1, 6)] + [[1, 2]])
    nodes, mask = np.ones((6, WIDTH)), np.ones(1)
    found = []
    for edges in (ring, triangles, star):
        both = np.concatenate([edges, edges[:, ::-1]]).astype(np.int32)
        given = (nodes, both, np.zeros(6, np.int32), np.ones(6), np.ones(12), mask)
        found.append(result("gin", dict(zip(GRAPH, given))))
    np.testing.assert_allclose(found[0], found[1], atol=1e-9)
    assert np.abs(found[0] - found[2]).max() > 1e-3


def test_an_empty_segment_is_zero_and_its_gradient_finite():
    values, segments = jnp.array([[1.0], [3.0], [-2.0], [9.0]]), jnp.array([0, 0, 2, 1])
    mask = jnp.array([1.0, 1, 1, 0])
    for reduce, expected in (
        (message_passing.sums, [4, 0, -2]),
        (message_passing.means, [2, 0, -2]),
        (message_passing.maxima, [3, 0, -2]),
    ):
        joined = jax.jit(lambda x, f=reduce: f(x, segments, mask, 3))
        np.testing.assert_array_equal(joined(values)[:, 0], expected)
        slope = jax.jit(jax.grad(lambda x, f=joined: jnp.sum(f(x))))(values)
        assert np.all(np.isfinite(slope))
        assert slope[3, 0] == 0
    shares = jax.jit(message_passing.softmax, static_argnums=3)(values, segments, mask, 3)[:, 0]
    e = np.exp(-2.0)
    np.testing.assert_allclose(shares, [e / (1 + e), 1 / (1 + e), 1, 0], atol=1e-12)


@pytest.mark.parametrize(
    ("model", "names", "width", "count"),
    [
        (gcn(num_classes=7), NODE, 1433, 23_040),
        (gat(num_classes=7), NODE, 1433, 92_373),
        (gin(num_classes=2), GRAPH, 7, 31_192),
    ],
    ids=["gcn", "gat", "gin"],
)
def test_networks_have_the_params_of_their_papers(model, names, width, count):
    own = {**batch(), "nodes": np.ones((sum(SIZES), width))}
    shapes = jax.eval_shape(model.init, KEY, *(own[k] for k in names))["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == count


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: gcn(num_classes=3, dropout=1.0), "dropout=1.0"),
        (lambda: gat(num_classes=3, num_heads=0), "num_heads=0"),
        (lambda: graphsage(num_classes=3, samples=()), "neighbours of one layer or more"),
        (lambda: gin(num_classes=3, depth=0), "depth=0"),
        (lambda: mpnn(num_classes=3, steps=0), "steps=0"),
    ],
)
def test_what_a_network_does_not_take(build, message):
    with pytest.raises(ConfigError, match=message):
        build()
