"""Tasks on the nodes and edges of graphs, against values by hand and by scikit-learn."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn import metrics as reference

from library.config import ConfigError
from library.gaussians import divergence_from_standard
from library.task import minimize
from library.tasks import context_prediction as contexts
from library.tasks import link_prediction as links
from library.tasks.attribute_masking import attribute_masking
from library.tasks.context_prediction import context_prediction
from library.tasks.link_prediction import link_prediction
from library.tasks.node_classification import node_classification
from tests import often

KEY = jax.random.key(0)
MINIMIZE = functools.partial(minimize, optimizer=optax.sgd(0.1))
PLACE = {"index": jnp.arange(1, dtype=jnp.uint32), "mask": jnp.ones(1)}
EDGES = jnp.array([[0, 1], [1, 0], [1, 2], [2, 1], [0, 0]], jnp.int32)
GRAPH = {
    "nodes": jnp.eye(4)[:, :3],
    "edges": EDGES,
    "edges_mask": jnp.array([1.0, 1, 1, 1, 0]),
    "nodes_mask": jnp.array([1.0, 1, 1, 0]),
    "graph": jnp.zeros(4, jnp.int32),
}


class Table(nn.Module):
    """Gives each node the row of a table that its features name."""

    num_classes: int

    @nn.compact
    def __call__(self, nodes, edges, edges_mask, nodes_mask, train=False):
        table = self.param("table", nn.initializers.zeros, (3, self.num_classes))
        return nodes @ table


def test_only_the_nodes_that_count_have_a_loss():
    label = jnp.array([1, 0, -1, 7], jnp.int32)
    counted = jnp.array([1.0, 1, 0, 0])
    batch = {**GRAPH, **PLACE, "node_label": label, "node_counted": counted}
    task = node_classification(Table(2), MINIMIZE, num_classes=2)
    state = task.init(KEY, batch)
    table = jnp.array([[0.0, 1], [0, 2], [5, 5]])
    state = state.replace(params={"table": table})
    evaluate = jax.jit(task.evaluate)
    found = evaluate(state, batch, KEY)
    losses = [np.log1p(np.exp(-1.0)), np.log1p(np.exp(2.0))]
    np.testing.assert_allclose(found["loss"], (sum(losses), 2), rtol=1e-6)
    np.testing.assert_array_equal(found["accuracy"], (1, 2))
    moved, _ = jax.jit(task.update)(state, batch, KEY)
    gone = np.asarray(moved.params["table"] - table)
    # The gradient of a mean over two nodes; the third row belongs to a node that does not count.
    expected = np.exp(losses[0] * -1) - 1
    np.testing.assert_allclose(gone[0], [0.05 * expected, -0.05 * expected], rtol=1e-5)
    assert not np.any(gone[2])
    outside = evaluate(state, {**batch, "node_counted": jnp.array([1.0, 1, 1, 0])}, KEY)
    assert np.isnan(outside["loss"][0])
    shares = task.outputs["node_probabilities"](state, batch, KEY)
    np.testing.assert_allclose(shares[2], [0.5, 0.5])
    with pytest.raises(ConfigError, match="num_classes=2, but the task has num_classes=3"):
        node_classification(Table(2), MINIMIZE, num_classes=3)


@pytest.mark.parametrize("ties", often.only([True], [False, True]))
def test_both_curves_are_those_of_scikit_learn(ties):
    random = np.random.default_rng(0)
    found, label = random.normal(size=40).astype(np.float32), random.integers(0, 2, 40)
    found = np.round(found) if ties else found
    given = jnp.asarray(found), jnp.asarray(label, jnp.float32)
    auc, precision = links.area_under_curve(*given), links.average_precision(*given)
    np.testing.assert_allclose(auc, reference.roc_auc_score(label, found), rtol=1e-6)
    wanted = reference.average_precision_score(label, found)
    np.testing.assert_allclose(precision, wanted, rtol=1e-6)


def test_a_graph_autoencoder_lowers_its_loss_by_hand():
    """Vectors are the table's rows; random pairs of one node are that node with itself."""
    alone = {
        **PLACE,
        "nodes": jnp.eye(3)[:1],
        "edges": jnp.zeros((2, 2), jnp.int32),
        "edges_mask": jnp.array([1.0, 0]),
        "nodes_mask": jnp.ones(1),
    }
    task = link_prediction(Table(2), MINIMIZE)
    state = task.init(KEY, alone).replace(params={"table": jnp.array([[1.0, 2], [0, 0], [0, 0]])})
    moved, metrics = jax.jit(task.update)(state, alone, KEY)
    loss = (np.log1p(np.exp(-5.0)) + np.log1p(np.exp(5.0))) / 2
    np.testing.assert_allclose(metrics["loss"], (loss, 1), rtol=1e-6)
    # d loss / d (z z) = sigmoid(5) - 1 / 2, and d (z z) / d z = 2 z.
    slope = 2 * (1 / (1 + np.exp(-5.0)) - 0.5)
    expected = np.array([1.0, 2]) * (1 - 0.1 * slope)
    np.testing.assert_allclose(moved.params["table"][0], expected, rtol=1e-5)


@pytest.mark.full
def test_a_variational_autoencoder_pays_for_what_it_keeps():
    mean, log_std = jnp.array([[1.0, 0], [0, 0]]), jnp.log(jnp.array([[1.0, 1], [2, 1]]))
    found = jnp.sum(divergence_from_standard(mean, 2 * log_std), axis=1)
    np.testing.assert_allclose(found, [0.5, (4 - 1 - 2 * np.log(2)) / 2], rtol=1e-6)
    pairs = {"pairs": jnp.array([[[0, 1], [0, 2]]]), "pairs_label": jnp.array([[1.0, 0]])}
    batch = {**GRAPH, **PLACE, **pairs}
    task = link_prediction(Table(4), MINIMIZE, variational=True)
    state = task.init(KEY, batch)
    state = state.replace(params={"table": jnp.array([[1.0, 0, 3, 3], [1, 0, 0, 0], [0, 1, 0, 0]])})
    measured = jax.jit(task.evaluate)(state, batch, KEY)
    assert (measured["auc"], measured["average_precision"]) == ((1, 1), (1, 1))
    assert task.outputs["node_embeddings"](state, batch, KEY).shape == (4, 2)
    losses = [
        float(jax.jit(task.update)(state, batch, jax.random.key(i))[1]["loss"][0]) for i in (0, 1)
    ]
    assert losses[0] != losses[1]
    with pytest.raises(ConfigError, match="model of even width, not 3"):
        link_prediction(Table(3), MINIMIZE, variational=True)
    with pytest.raises(ValueError, match="one graph a batch, not 2"):
        task.evaluate(state, {**batch, "mask": jnp.ones(2)}, KEY)


class Blind(nn.Module):
    """Tells nothing of a node but whether it is hidden, and stores its features."""

    num_classes: int

    @nn.compact
    def __call__(self, nodes, edges, nodes_mask, edges_mask, edge_features, masked, train=False):
        weight = self.param("weight", nn.initializers.ones, (self.num_classes,))
        self.sow("intermediates", "features", masked, reduce_fn=lambda _, x: x, init_fn=lambda: 0)
        return masked[:, None] * weight * jnp.arange(self.num_classes)


def test_hidden_nodes_alone_have_a_loss():
    count = 4000
    batch = {
        **PLACE,
        "nodes": jnp.ones((count, 2)),
        "edges": EDGES,
        "edges_mask": GRAPH["edges_mask"],
        "edge_features": jnp.ones((5, 1)),
        "nodes_mask": jnp.repeat(jnp.array([1.0, 0]), count // 2),
        "node_kind": jnp.full(count, 2, jnp.int32),
    }
    task = attribute_masking(Blind(3), MINIMIZE, num_classes=3, rate=0.25)
    state = task.init(KEY, batch)
    evaluate = jax.jit(task.evaluate)
    found = evaluate(state, batch, KEY)
    hidden = float(found["loss"][1])
    # Four deviations of so many draws.
    assert abs(hidden - 500) < 4 * np.sqrt(2000 * 0.25 * 0.75)
    each = np.log(np.exp([0.0, 1, 2]).sum()) - 2
    np.testing.assert_allclose(found["loss"][0] / hidden, each, rtol=1e-5)
    np.testing.assert_array_equal(found["accuracy"], (hidden, hidden))
    again, other = (evaluate(state, batch, jax.random.key(i))["loss"][1] for i in (0, 1))
    assert (float(again), float(other) != hidden) == (hidden, True)
    assert not np.any(task.outputs["features"](state, batch, KEY))
    with pytest.raises(ConfigError, match=r"rate=1\.0"):
        attribute_masking(Blind(3), MINIMIZE, num_classes=3, rate=1.0)


class Places(nn.Module):
    """Returns the nodes as they are, once of the middle and once of the context."""

    depth: int = 2

    @nn.compact
    def __call__(self, nodes, edges, *others, train=False):
        weight = self.param("weight", nn.initializers.ones, ())
        return weight * nodes, nodes


def test_a_context_is_what_is_some_edges_away():
    """Two paths of six nodes: the drawn node is the only one that has a context of its own."""
    path = np.stack([np.arange(5), np.arange(1, 6)], axis=1)
    edges = np.concatenate([path, path[:, ::-1]])
    edges = jnp.asarray(np.concatenate([edges, edges + 6]), jnp.int32)
    centre = jnp.zeros(12).at[jnp.array([0, 8])].set(1.0)
    distances = jax.jit(contexts.distances, static_argnums=3)
    found = distances(centre, edges, jnp.ones(20), 3)
    np.testing.assert_array_equal(found, [0, 1, 2, 3, 4, 4, 2, 1, 0, 1, 2, 3])
    # Features tell the two graphs apart: right products are 4 and wrong ones -4.
    nodes = jnp.repeat(jnp.array([[2.0], [-2.0]]), 6, axis=0)
    batch = {
        "nodes": nodes,
        "edges": edges,
        "edges_mask": jnp.ones(20),
        "edge_features": jnp.ones((20, 1)),
        "nodes_mask": jnp.ones(12),
        "graph": jnp.repeat(jnp.arange(2), 6),
        "index": jnp.arange(2, dtype=jnp.uint32),
        "mask": jnp.ones(2),
    }
    task = context_prediction(Places(), MINIMIZE, inner=1, outer=3)
    state = task.init(KEY, batch)
    evaluate = jax.jit(task.evaluate)
    metrics = evaluate(state, batch, KEY)
    np.testing.assert_allclose(metrics["loss"], (4 * np.log1p(np.exp(-4.0)), 2), rtol=1e-5)
    np.testing.assert_array_equal(metrics["accuracy"], (2, 2))
    # A graph without edges has no context, and the graph before it nothing to be told from.
    alone = {**batch, "edges_mask": jnp.repeat(jnp.array([1.0, 0]), 10)}
    np.testing.assert_array_equal(evaluate(state, alone, KEY)["loss"], (0, 0))
    np.testing.assert_array_equal(task.outputs["features"](state, batch, KEY), nodes)
    with pytest.raises(ConfigError, match=r"inner=3, outer=5: .* to the model.s depth=2"):
        context_prediction(Places(), MINIMIZE, inner=3, outer=5)
