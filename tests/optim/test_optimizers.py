"""Updates are those of the papers' formulas, with the stated convention of weight decay."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.optim.from_optax import optimizers
from tests.optim.updates import (
    BATCH,
    KERNELS,
    TOTAL,
    assert_same,
    descend,
    first_update,
    flat,
    gradients,
    make,
    parameters,
)


def by_hand(rule, params, grads):
    """Runs `rule(path, p, g, memory, t) -> p` in float64, a leaf at a time."""
    params = {path: np.float64(leaf) for path, leaf in flat(params).items()}
    memory = {path: {} for path in params}
    for t, grad in enumerate(grads):
        for path, g in flat(grad).items():
            params[path] = rule(path, params[path], np.float64(g), memory[path], t)
    return params


def adam(g, memory, t, b1=0.9, b2=0.99, eps=1e-8):
    memory["m"] = b1 * memory.get("m", 0) + (1 - b1) * g
    memory["v"] = b2 * memory.get("v", 0) + (1 - b2) * g * g
    m, v = memory["m"] / (1 - b1 ** (t + 1)), memory["v"] / (1 - b2 ** (t + 1))
    return m / (np.sqrt(v) + eps)


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_with_coupled_decay_is_torchs(nesterov):
    lr, mu, wd = 0.1, 0.9, 5e-2
    tx, _ = make(
        name="sgd", learning_rate=lr, momentum=mu, nesterov=nesterov, weight_decay=wd, decayed="all"
    )

    def rule(_, p, g, memory, t):
        g = g + wd * p
        memory["b"] = mu * memory.get("b", 0) + g
        return p - lr * (g + mu * memory["b"] if nesterov else memory["b"])

    params = parameters()
    grads = gradients(params)
    assert_same(descend(tx, params, grads), by_hand(rule, params, grads))


def test_adam_couples_its_decay_and_adamw_does_not():
    lr, wd, params = 0.01, 0.3, parameters()
    grads = gradients(params)

    def decay(path):
        return wd if path in KERNELS else 0.0

    def coupled(path, p, g, memory, t):
        return p - lr * adam(g + decay(path) * p, memory, t)

    def decoupled(path, p, g, memory, t):
        return p - lr * (adam(g, memory, t) + decay(path) * p)

    for name, rule in (("adam", coupled), ("adamw", decoupled)):
        tx, _ = make(name=name, learning_rate=lr, b2=0.99, weight_decay=wd)
        assert_same(descend(tx, params, grads), by_hand(rule, params, grads), rtol=1e-5)


def test_decoupled_decay_follows_the_schedule():
    params = parameters()
    zero = jax.tree.map(np.zeros_like, params)
    schedule = dict(name="linear", final=0.0)
    tx, _ = make(name="adamw", learning_rate=0.5, weight_decay=0.1, schedule=schedule)
    after = flat(descend(tx, params, [zero] * 3))
    shrunk = np.prod([1 - 0.5 * (1 - t / TOTAL) * 0.1 for t in range(3)])
    before = flat(params)
    np.testing.assert_allclose(after["head/kernel"], before["head/kernel"] * shrunk, 1e-6)
    np.testing.assert_array_equal(after["head/bias"], before["head/bias"])


@pytest.mark.parametrize(
    ("decayed", "expected"),
    [
        (None, KERNELS),
        ("kernels", KERNELS),
        ("all", set(flat(parameters()))),
        (["^head", "norm"], {"head/kernel", "head/bias", "block1/norm/scale"}),
    ],
)
@pytest.mark.parametrize("name", ["sgd", "adamw", "lion"])
def test_what_decays(name, decayed, expected):
    params = parameters()
    zero = jax.tree.map(np.zeros_like, params)
    rule = {} if decayed is None else {"decayed": decayed}
    updates = first_update(params, zero, name=name, learning_rate=1.0, weight_decay=0.5, **rule)
    assert {path for path, u in updates.items() if np.any(u)} == expected
    for path in expected:
        np.testing.assert_allclose(updates[path], -0.5 * flat(params)[path], 1e-6)


@pytest.mark.parametrize("name", ["adamw", "lion", "adamaxw", "adafactor"])
def test_weight_decay_is_zero_unless_written(name):
    params = parameters()
    zero = jax.tree.map(np.zeros_like, params)
    updates = first_update(params, zero, name=name, learning_rate=1.0)
    assert not any(np.any(update) for update in updates.values())


def test_lars_adapts_and_decays_the_same_leaves():
    params, lr, wd, trust = parameters(), 0.2, 0.1, 0.001
    grad = gradients(params, 1)[0]
    updates = first_update(params, grad, name="lars", learning_rate=lr, weight_decay=wd)
    for path, p in flat(params).items():
        g = flat(grad)[path]
        if path in KERNELS:
            g = g + wd * p
            g = g * trust * np.linalg.norm(p) / np.linalg.norm(g)
        np.testing.assert_allclose(updates[path], -lr * g, 2e-6, err_msg=path)


def test_every_optimizer_that_may_be_named_takes_a_step():
    params = {"dense": {"kernel": np.ones((3, 2), np.float32), "bias": np.ones(2, np.float32)}}
    assert {"sgd", "adam", "adamw", "lamb", "lars", "lion", "rmsprop", "adagrad", "muon"} <= set(
        optimizers()
    )
    for name in optimizers():
        tx, _ = make(name=name, learning_rate=0.1, weight_decay=0.1, decayed="all")
        updates = jax.eval_shape(lambda p, tx=tx: tx.update(p, tx.init(p), p)[0], params)
        assert jax.tree.map(np.shape, updates) == jax.tree.map(np.shape, params), name


def test_base_batch_scales_the_rate_linearly():
    _, schedule = make(name="sgd", learning_rate=0.1, base_batch=256)
    np.testing.assert_allclose(schedule(0), 0.1 * BATCH / 256, 1e-7)


def test_own_arguments_reach_optax():
    tx, _ = make(name="sgd", learning_rate=0.1, momentum=0.9, accumulator_dtype="bfloat16")
    state = tx.init({"w": jnp.ones(2)})
    assert {leaf.dtype for leaf in jax.tree.leaves(state) if leaf.ndim} == {jnp.dtype("bfloat16")}


@pytest.mark.parametrize("name", sorted(optimizers()))
def test_the_rate_that_is_applied_is_that_of_the_step(name):
    schedule = dict(name="step", boundaries=["3 steps"], factor=0.5)
    tx, rate = make(name=name, learning_rate=0.1, decayed="all", schedule=schedule)
    halved, _ = make(name=name, learning_rate=0.05, decayed="all")
    assert float(rate(3)) == pytest.approx(0.05)
    params = {"dense": {"kernel": jnp.ones((3, 2)), "bias": jnp.ones(2)}}
    grad = jax.tree.map(lambda p: 0.1 * jnp.ones_like(p), params)

    @jax.jit
    def second_update(params):
        _, state = tx.update(grad, tx.init(params), params, step=jnp.int32(0))
        moves = ((tx, 3), (halved, 3), (halved, 1))
        return [each.update(grad, state, params, step=jnp.int32(step)) for each, step in moves]

    # Two steps are left out: the rate goes by the step, all else by the updates that were made.
    found, halved_rate, none_left_out = second_update(params)
    assert_same(found, flat(halved_rate))
    assert_same(found, flat(none_left_out))


def test_everything_that_goes_by_the_step_leaves_out_what_was_left_out():
    spec = dict(name="sgd", learning_rate=1.0, schedule=dict(name="linear"))
    frozen = dict(frozen_from=[["bias", "4 steps"]])
    tx, rate = make(**spec, **frozen, phases=2)
    params = {"kernel": jnp.zeros(1), "bias": jnp.zeros(1)}
    ones, state = jax.tree.map(jnp.ones_like, params), tx.init(params)
    # The first step of the second phase is one of those that were left out.
    for step in (0, 1, 3, 4, 49, 51, 99):
        updates, state = tx.update(ones, state, params, step=jnp.int32(step))
        np.testing.assert_array_equal(updates["kernel"], -rate(step))
        np.testing.assert_array_equal(updates["bias"], -rate(step) if step < 4 else 0)
    assert float(rate(50)) == 1 > float(rate(51))


def test_a_phase_whose_first_step_was_left_out_begins_afresh():
    tx, _ = make(name="sgd", learning_rate=1.0, momentum=0.9, phases=2)
    params = {"kernel": jnp.zeros(1)}
    state = tx.init(params)
    for step, expected in ((0, 1.0), (1, 1.9), (51, 1.0), (52, 1.9)):
        updates, state = tx.update({"kernel": jnp.ones(1)}, state, params, step=jnp.int32(step))
        np.testing.assert_allclose(updates["kernel"], -expected, rtol=1e-6)
