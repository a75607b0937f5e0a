"""Networks and optimizers side by side do what each does alone."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from library import painting
from library.config import ConfigError
from library.models.analytic import surface
from library.models.image import mlp
from library.task import alternate, minimize
from library.tasks.classification import classification
from library.tasks.descent import descent
from library.tasks.race import race

KEY = jax.random.key(0)
RANDOM = np.random.default_rng(0)
PLACE = jnp.arange(8, dtype=jnp.uint32)
BATCH = dict(
    image=jnp.asarray(RANDOM.normal(size=(8, 4)), jnp.float32),
    label=jnp.asarray(RANDOM.integers(0, 3, 8), jnp.int32),
    **dict(mask=jnp.ones(8), index=PLACE, row=PLACE),
)
OPTIMIZERS = {"sgd": optax.sgd(0.5), "adam": optax.adam(0.1)}


def stepped(task, count=3):
    state, update = jax.jit(task.init)(KEY, BATCH), jax.jit(task.update)
    for _ in range(count):
        state, metrics = update(state, BATCH, KEY)
    return state, metrics


@pytest.mark.full
def test_each_network_learns_as_it_does_alone():
    network = mlp.mlp(num_classes=3, hidden=(5,))
    together = functools.partial(alternate, optimizers=OPTIMIZERS)
    task = race({name: network for name in OPTIMIZERS}, together, num_classes=3)
    state, metrics = stepped(task)
    measured = jax.device_get(jax.jit(task.evaluate)(state, BATCH, KEY))
    for name, optimizer in OPTIMIZERS.items():
        alone = functools.partial(minimize, optimizer=optimizer)
        single = classification(network, alone, num_classes=3)
        expected, theirs = stepped(single)
        jax.tree.map(
            functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6),
            state.params[name],
            expected.params,
        )
        np.testing.assert_allclose(metrics[f"{name}_loss"], theirs["loss"], rtol=1e-5)
        found = jax.device_get(single.evaluate(expected, BATCH, KEY))
        for metric in ("loss", "accuracy"):
            np.testing.assert_allclose(measured[f"{name}_{metric}"], found[metric], rtol=1e-5)
    assert task.outputs["logits"](state, BATCH, KEY).shape == (8, 2, 3)


def test_one_network_is_no_race():
    with pytest.raises(ConfigError, match="a race needs several networks by name"):
        race(mlp.mlp(num_classes=3), alternate, num_classes=3)


def jets(model, points):
    """Returns the value, the slope and the bend of a surface at each point."""
    function = lambda p: model.function(*p)  # noqa: E731
    value, slope, bend = function, jax.grad(function), jax.hessian(function)
    found = jax.jit(jax.vmap(lambda p: (value(p), slope(p), bend(p))))(jnp.array(points))
    return zip(*map(np.asarray, found))


def test_minima_are_where_they_are_said_to_be():
    rosenbrock, saddle = surface.rosenbrock(), surface.saddle()
    for model in (rosenbrock, saddle):
        for value, slope, bend in jets(model, model.minima):
            assert value == 0
            np.testing.assert_array_equal(slope, 0)
            assert np.linalg.eigvalsh(bend)[0] > 0
    ((_, slope, bend),) = jets(saddle, [(0.0, 0.0)])
    np.testing.assert_array_equal(slope, 0)
    np.testing.assert_array_equal(bend, np.diag([1.0, -1.0]))


def test_a_path_is_that_of_the_optimizer_alone():
    model = surface.rosenbrock(start=(-1.0, 1.5))
    small = {"sgd": optax.sgd(1e-3), "adam": optax.adam(0.1)}
    together = functools.partial(alternate, optimizers=small)
    task = descent(model, together, optimizers=tuple(small), total_steps=4)
    state, _ = stepped(task, 4)
    for name, optimizer in small.items():
        point, path = np.array([-1.0, 1.5], np.float32), []
        held = optimizer.init(jnp.asarray(point))
        for _ in range(4):
            path.append(point)
            x, y = (float(each) for each in point)
            slope = [-2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x)]
            update, held = optimizer.update(jnp.float32(slope), held)
            point = np.asarray(optax.apply_updates(jnp.asarray(point), update))
        np.testing.assert_allclose(state.params[name]["point"], point, rtol=1e-4)
        found = state.variables["paths"][name]
        np.testing.assert_allclose(found["points"], path, rtol=1e-4)
        assert int(found["count"]) == 4
    measured = jax.device_get(jax.jit(task.evaluate)(state, BATCH, KEY))
    x, y = np.asarray(state.params["sgd"]["point"], float)
    value, weight = measured["sgd_loss"]
    assert value / weight == pytest.approx((1 - x) ** 2 + 100 * (y - x * x) ** 2, rel=1e-4)
    distance, weight = measured["sgd_distance"]
    assert distance / weight == pytest.approx(np.hypot(x - 1, y - 1), rel=1e-5)


@pytest.mark.full
def test_the_picture_shows_the_path_so_far():
    model = surface.saddle(start=(-1.5, 0.5))
    together = functools.partial(alternate, optimizers={"sgd": optax.sgd(0.2)})
    task = descent(model, together, optimizers=("sgd",), total_steps=6)
    draw = jax.jit(task.outputs["sample"])

    def has(picture, point):
        column, row = (np.array([1, -1]) * point / 4 + 0.5) * 95
        return (picture[round(float(row)), round(float(column))] == painting.colours(2)[1]).all()

    states = [stepped(task, count)[0] for count in (2, 6)]
    early, late = (np.asarray(draw(state, BATCH, KEY)) for state in states)
    assert late.shape == (8, 96, 96, 3)
    points = np.asarray(states[1].variables["paths"]["sgd"]["points"])
    assert all(has(early[0], point) for point in points[:3])
    assert not has(early[0], points[5])
    assert all(has(late[0], point) for point in (*points, states[1].params["sgd"]["point"]))
