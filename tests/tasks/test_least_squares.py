"""Linear layers in closed form, and Adaline, which approaches them by gradient descent."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from library import moments
from library.config import ConfigError
from library.models.image import mlp
from library.summaries import summarize
from library.task import minimize
from library.tasks.adaline import adaline
from library.tasks.least_squares import least_squares

KEY = jax.random.key(0)
LINEAR = mlp.perceptron(num_classes=3)
RANDOM = np.random.default_rng(0)
X, LABEL = RANDOM.normal(size=(21, 4)), RANDOM.integers(0, 3, 21)
SIGNS = 2 * np.eye(3)[LABEL] - 1


def batch_of(rows, mask=None):
    found = dict(image=jnp.asarray(X[rows], jnp.float32), label=jnp.asarray(LABEL[rows], jnp.int32))
    found["target"] = jnp.asarray(SIGNS[rows], jnp.float32)
    place = jnp.asarray(rows, jnp.uint32)
    mask = jnp.ones(len(rows)) if mask is None else jnp.float32(mask)
    return {**found, "index": place, "row": place, "mask": mask}


def ridge_solution(x, y, ridge):
    """Returns the kernel and the bias; the bias has no penalty."""
    x1 = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    penalty = ridge * len(x) * np.diag([1.0] * x.shape[1] + [0.0])
    found = np.linalg.solve(x1.T @ x1 + penalty, x1.T @ y)
    return {"kernel": found[:-1], "bias": found[-1]}


def assert_close(head, expected):
    for name in ("kernel", "bias"):
        np.testing.assert_allclose(head[name], expected[name], rtol=1e-4, atol=1e-5)


def test_the_layer_is_that_of_the_whole_set_in_any_order_and_however_often():
    task = least_squares(LINEAR, num_outputs=3, ridge=0.1)
    update = jax.jit(task.update)
    padded = batch_of(np.arange(14, 21), mask=[1] * 5 + [0] * 2)
    padded["image"] = padded["image"].at[5:].set(jnp.nan)
    state = jax.jit(task.init)(KEY, padded)
    for _ in range(2):
        for batch in (padded, batch_of(np.arange(7)), batch_of(np.arange(7, 14))):
            state, metrics = update(state, batch, KEY)
        assert_close(state.params["head"], ridge_solution(X[:19], SIGNS[:19], 0.1))
    units = X[7:14] @ np.asarray(state.params["head"]["kernel"]) + state.params["head"]["bias"]
    found, half = summarize(jax.device_get(metrics)), np.square(units - SIGNS[7:14]).sum(1) / 2
    assert found["loss"] == pytest.approx(half.mean(), rel=1e-5)
    assert found["accuracy"] == pytest.approx(np.mean(units.argmax(1) == LABEL[7:14]))
    assert int(state.step) == 6


@pytest.mark.full
def test_it_solves_when_it_is_due_and_in_the_last_step():
    task = least_squares(LINEAR, num_outputs=3, solve_every=2, total_steps=3)
    update, batches = jax.jit(task.update), np.arange(21).reshape(3, 7)
    states = [jax.jit(task.init)(KEY, batch_of(batches[0]))]
    for rows in batches:
        states.append(update(states[-1], batch_of(rows), KEY)[0])
    heads = [state.params["head"] for state in states]
    np.testing.assert_array_equal(heads[1]["kernel"], heads[0]["kernel"])
    assert_close(heads[2], ridge_solution(X[:14], SIGNS[:14], 1e-4))
    assert_close(heads[3], ridge_solution(X, SIGNS, 1e-4))


@pytest.mark.full
def test_a_target_is_predicted_from_random_features_that_stay():
    network = mlp.mlp(num_classes=3, hidden=(5,), activation="tanh")
    task, batch = least_squares(network, num_outputs=3, answer="target"), batch_of(np.arange(21))
    start = jax.jit(task.init)(KEY, batch)
    state, _ = jax.jit(task.update)(start, batch, KEY)
    layers = [s.params["hidden1"]["kernel"] for s in (start, state)]
    np.testing.assert_array_equal(*layers)
    hidden = np.tanh(X @ np.asarray(layers[0], np.float64))
    expected = ridge_solution(hidden, SIGNS, 1e-4)
    predicted = hidden @ expected["kernel"] + expected["bias"]
    found = summarize(jax.device_get(jax.jit(task.evaluate)(state, batch, KEY)), task.summaries)
    assert found["mse"] == pytest.approx(np.square(predicted - SIGNS).mean(), rel=1e-4)


def test_adaline_descends_to_least_squares():
    task = adaline(LINEAR, functools.partial(minimize, optimizer=optax.sgd(0.5)), num_classes=3)
    batch = batch_of(np.arange(21))

    def steps(state):
        return jax.lax.scan(lambda s, _: (task.update(s, batch, KEY)[0], ()), state, None, 400)[0]

    state = jax.jit(lambda: steps(task.init(KEY, batch)))()
    kernel = np.linalg.lstsq(np.concatenate([X, np.ones((21, 1))], 1), SIGNS, rcond=None)[0]
    assert_close(state.params["head"], {"kernel": kernel[:-1], "bias": kernel[-1]})


def test_the_rule_of_widrow_and_hoff_is_a_step_of_one_example():
    task = adaline(LINEAR, functools.partial(minimize, optimizer=optax.sgd(0.1)), num_classes=3)
    batch = batch_of(np.array([4]))
    start = jax.jit(task.init)(KEY, batch)
    state, _ = jax.jit(task.update)(start, batch, KEY)
    w = np.asarray(start.params["head"]["kernel"], np.float64)
    moved = w + 0.1 * np.outer(X[4], SIGNS[4] - X[4] @ w)
    np.testing.assert_allclose(state.params["head"]["kernel"], moved, rtol=1e-5, atol=1e-6)


def test_principal_components_are_the_singular_vectors():
    x = RANDOM.normal(size=(40, 5)) * [5, 3, 1, 0.5, 0.1] + 2
    halves = [moments.of(jnp.float32(h), None, jnp.ones(20)) for h in (x[:20], x[20:])]
    found = moments.principal_components(jax.tree.map(jnp.add, *halves), 2)
    _, values, vectors = np.linalg.svd(x - x.mean(0), full_matrices=False)
    np.testing.assert_allclose(found["mean"], x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(found["variances"], values**2 / 40, rtol=1e-3, atol=1e-4)
    flipped = vectors[:2] * np.sign(vectors[[0, 1], abs(vectors[:2]).argmax(1)])[:, None]
    np.testing.assert_allclose(found["components"], flipped, atol=1e-4)


def test_what_does_not_fit_is_refused():
    for ridge in (0.0, float("nan")):
        with pytest.raises(ConfigError, match=rf"ridge={ridge}: valid are finite numbers above 0"):
            least_squares(LINEAR, num_outputs=3, ridge=ridge)
    with pytest.raises(ConfigError, match="solve_every=0: valid are 1 step or more"):
        least_squares(LINEAR, num_outputs=3, solve_every=0)
    with pytest.raises(ConfigError, match="'target'"):
        least_squares(LINEAR, num_outputs=3, answer="target", feature_shapes={"label": ()})
    task = least_squares(LINEAR, num_outputs=3)
    with pytest.raises(ConfigError, match="learns the dense layer 'head'"):
        moments.solved_head(task.outputs["features"], lambda b: b, ridge=1.0)(None).init(
            {"params": {"other": {}}}
        )
