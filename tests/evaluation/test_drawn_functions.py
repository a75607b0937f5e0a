"""Curves, planes and gradients by layer: what the pictures and the numbers say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library import painting
from library.config import ConfigError
from library.evaluation.context import Context
from library.evaluation.curve import curve
from library.evaluation.edge_functions import edge_functions
from library.evaluation.layer_gradients import by_network, layer_gradients
from library.evaluation.plane import plane, points
from library.models.image import mlp
from library.task import Task, TrainState, pair

KEY = jax.random.key(0)
STATE = TrainState(jnp.int32(0), {}, {}, (), None)


def context_of(batch, outputs, evaluate=None):
    def collect(function):
        return lambda state, batch: jax.device_get(function(state, batch, KEY))

    def draws(num, batch_size, features):
        yield {name: jnp.asarray(x) for name, x in {**features, "mask": np.ones(num)}.items()}

    task = Task(None, None, evaluate, outputs)
    return Context(task, lambda split, size: iter([batch]), collect, collect, draws)


def test_curves_are_drawn_where_their_values_are():
    values = np.array([[0.0, 0.0, 1.0, np.nan], [0.5, 0.5, 0.5, 9.0]])
    picture = painting.plotted(values, 0, 1, height=5)
    first, second = painting.colours(3)[1:]
    assert (picture[4, 0] == first).all()
    # A curve connects its values, and what is beyond the limits is at the edge.
    assert (picture[[0, 1, 3, 4], 2] == first).all()
    assert (picture[2, :3] == second).all()
    assert (picture[:3, 3] == second).all()
    assert (picture[3:, 3] == 255).all()


def test_the_curve_is_drawn_over_the_target_in_the_order_of_its_places():
    x = np.array([[1.0], [-1.0], [0.0], [7.0]])
    batch = dict(features=x, target=2 * x, mask=np.array([1.0, 1, 1, 0]))
    outputs = {"prediction": lambda state, batch, key: jnp.asarray(batch["target"]) * 0 + 0.5}
    found = curve(context_of(batch, outputs))(STATE)
    assert found["largest_error"] == pytest.approx(2.5)
    picture = found["curve"][0]
    target, made = painting.colours(3)[1:]
    # The limits are -2.6 and 2.6.
    assert (picture[round(95 * (1 - (0.5 + 2.6) / 5.2))] == made).all()
    for column, value in ((0, -2), (-1, 2)):
        assert (picture[round(95 * (1 - (value + 2.6) / 5.2)), column] == target).all()
    wide = dict(batch, features=np.zeros((4, 2)))
    with pytest.raises(ConfigError, match="one number by another: x is"):
        curve(context_of(wide, outputs))(STATE)


def test_the_plane_has_the_class_of_each_point_and_the_examples():
    np.testing.assert_allclose(points(2.0, 3)[[0, 2, 8]], [(-2, 2), (2, 2), (2, -2)])
    batch = dict(features=jnp.array([[1.0, 1.0], [9.0, 9.0]]), label=jnp.array([1, 0]))
    batch["mask"] = jnp.ones(2)
    outputs = {"logits": lambda state, batch, key: batch["features"][:, :1] * jnp.array([-1, 1])}
    picture = plane(context_of(batch, outputs), span=2.0, size=21)(STATE)["plane"][0].astype(int)
    left, right = painting.colours(3)[1:].astype(int)
    assert (picture[5, 15] == right).all()
    for column, colour in ((0, left), (20, right)):
        pale = picture[20, column]
        # On the straight way from white to the colour.
        share = (255 - pale)[colour < 255] / (255 - colour)[colour < 255]
        np.testing.assert_allclose(share, share[0], atol=0.02)
        assert 0.3 < share[0] < 0.6
    # Where both classes are as likely the colour is palest.
    assert picture[20, 10].min() > picture[20, 0].min()


def test_gradients_by_layer_follow_the_chain_rule():
    model = mlp.mlp(num_classes=1, hidden=(1, 1), activation="sigmoid")
    x = jnp.array([[0.3], [9.0]])
    weights = [0.5, -1.5, 2.0]
    names = ("hidden1", "hidden2", "head")
    params = {
        name: {"kernel": jnp.full((1, 1), w), "bias": jnp.zeros(1)}
        for name, w in zip(names, weights)
    }

    def evaluate(state, batch, key):
        out = model.apply({"params": state.params}, batch["image"])[:, 0]
        return {"loss": pair(out, batch["mask"])}

    batch = {"image": x, "mask": jnp.array([1.0, 0.0])}
    found = layer_gradients(context_of(batch, {}, evaluate))(STATE.replace(params=params))
    one = 1 / (1 + np.exp(-0.5 * 0.3))
    two = 1 / (1 + np.exp(1.5 * one))
    last, middle = two, 2.0 * two * (1 - two) * one
    first = 2.0 * two * (1 - two) * -1.5 * one * (1 - one) * 0.3
    expected = np.abs([first, middle, last])
    np.testing.assert_allclose(found["gradients"], expected, rtol=1e-5)
    assert found["first_to_last"] == pytest.approx(expected[0] / expected[2], rel=1e-5)
    assert found["gradient_picture"].shape == (1, 96, 60, 3)


def test_layers_are_in_the_order_of_their_numbers_and_networks_apart():
    sizes = {"a/hidden10/kernel": 3.0, "a/hidden2/kernel": 2.0, "a/head/kernel": 4.0}
    sizes |= {"a/hidden2/bias": 9.0, "b/head/kernel": 5.0}
    found = by_network({path: np.full((2, 2), size) for path, size in sizes.items()})
    np.testing.assert_array_equal(found["a"], [2, 3, 4])
    np.testing.assert_array_equal(found["b"], [5])


def test_edges_are_drawn_layer_after_layer():
    x = np.array([[0.0, 1.0], [1.0, -1.0], [9.0, 9.0]])
    edges = np.stack([x, -x, 0 * x], axis=2)
    stored = {"edges1": edges, "stage1": x[:, :1], "edges2": edges[:, :1, :1]}
    batch = dict(features=jnp.asarray(x), mask=jnp.array([1.0, 1.0, 0.0]))
    outputs = {"intermediates": lambda state, batch, key: jax.tree.map(jnp.asarray, stored)}
    found = edge_functions(context_of(batch, outputs))(STATE)["edges"]
    assert found.shape == (7, 48, 64, 3)
    colour = painting.colours(2)[1]

    def row(picture, column):
        return np.flatnonzero((picture[:, column] == colour).all(-1)).mean()

    # The first unit goes from 0 to 1, and its edges are x, -x and 0; the scale is -1.1 to 1.1.
    ends = [[row(picture, column) for column in (0, -1)] for picture in found[:3]]
    middle, top, bottom = 23.5, 47 * (1 - 2.1 / 2.2), 47 * (1 - 0.1 / 2.2)
    expected = [[middle, top], [middle, bottom], [middle, middle]]
    np.testing.assert_allclose(ends, expected, atol=1.1)
    other = {"intermediates": lambda state, batch, key: {"stage1": batch["features"]}}
    evaluate = edge_functions(context_of(batch, other))
    with pytest.raises(ConfigError, match="the model stores stage1, no edges"):
        evaluate(STATE)
