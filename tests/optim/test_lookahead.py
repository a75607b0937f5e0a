import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from library import trees
from library.config import ConfigError, duration
from library.optim.lookahead import Lookahead, lookahead
from library.optim.optimizers import make_optimizer

TOTAL = 13
SGD = dict(name="sgd", learning_rate=0.1, momentum=0.9)


def steps(text):
    return duration(text, batch_size=1, num_examples=TOTAL, total=TOTAL)


def parameters():
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=(2, 3)).astype(np.float32) for name in ("body", "head")}


def trajectory(tx, params, number=TOTAL):
    """Descends 0.5 |p - 1|^2 and returns the params after every step, and the last state."""
    params = jax.tree.map(jnp.asarray, params)
    state = tx.init(params)
    update = jax.jit(
        lambda state, params: tx.update(jax.tree.map(lambda p: p - 1, params), state, params)
    )
    visited = []
    for _ in range(number):
        updates, state = update(state, params)
        params = optax.apply_updates(params, updates)
        visited.append(jax.device_get(params))
    return visited, state


def by_hand(start, every, decay, power):
    """Momentum SGD with slow weights in float64: the params after every step."""
    fast, slow, velocity, visited = np.float64(start), np.float64(start), 0.0, []
    for step in range(1, TOTAL + 1):
        velocity = (fast - 1) + 0.9 * velocity
        fast = fast - 0.1 * velocity
        if step % every == 0:
            kept = decay * (step / TOTAL) ** power
            slow = kept * slow + (1 - kept) * fast
            fast = slow
        if step == TOTAL:
            fast = slow
        visited.append(fast)
    return visited


@pytest.mark.parametrize(
    ("every", "decay", "power"),
    [(5, 0.5, 0.0), (5, 0.95**5, 3.0), (1, 0.9, 1.0), (13, 0.2, 0.0), (20, 0.5, 0.0)],
)
def test_params_are_those_of_a_loop(every, decay, power):
    settings = dict(every=every, decay=decay, power=power)
    tx, _ = make_optimizer(
        {**SGD, "lookahead": settings}, total_steps=TOTAL, steps=steps, batch_size=1
    )
    visited, _ = trajectory(tx, parameters())
    for name, start in parameters().items():
        expected = by_hand(start, every, decay, power)
        np.testing.assert_allclose([v[name] for v in visited], expected, 2e-6, 1e-6)


def test_it_changes_nothing_between_synchronizations():
    plain, _ = trajectory(optax.sgd(0.1), parameters(), 4)
    tx = optax.chain(optax.sgd(0.1), lookahead(Lookahead(), TOTAL))
    followed, _ = trajectory(tx, parameters(), 4)
    assert trees.digest(followed) == trees.digest(plain)


def test_slow_weights_start_as_the_params_of_the_first_step():
    tx = lookahead(Lookahead(every=1, decay=0.5), TOTAL)
    replaced = jax.tree.map(lambda p: p + 10, parameters())
    still = jax.tree.map(jnp.zeros_like, replaced)
    updates, state = tx.update(still, tx.init(parameters()), replaced)
    assert not any(np.any(u) for u in jax.tree.leaves(updates))
    jax.tree.map(np.testing.assert_array_equal, state.slow, replaced)


def test_frozen_parameters_keep_their_bits_and_have_no_slow_weights():
    spec = {**SGD, "frozen": ["body"], "lookahead": dict(every=2)}
    tx, _ = make_optimizer(spec, total_steps=TOTAL, steps=steps, batch_size=1)
    params = parameters()
    params["body"][0] = [-0.0, 0.0, 1e-30]
    visited, state = trajectory(tx, params)
    assert visited[-1]["body"].tobytes() == params["body"].tobytes()
    assert not np.array_equal(visited[-1]["head"], params["head"])
    assert not any("body" in path for path in trees.paths(state))


def test_half_precision_params_keep_their_type():
    params = jax.tree.map(lambda p: p.astype(jnp.bfloat16), parameters())
    tx = optax.chain(optax.sgd(0.1), lookahead(Lookahead(every=2), TOTAL))
    visited, state = trajectory(tx, params, 2)
    assert {x.dtype for x in jax.tree.leaves(visited)} == {jnp.dtype("bfloat16")}
    assert {x.dtype for x in jax.tree.leaves(state[1].slow)} == {jnp.dtype("bfloat16")}


@pytest.mark.parametrize(
    "values", [dict(every=0), dict(decay=1.0), dict(decay=-0.1), dict(power=-1.0)]
)
def test_settings_out_of_range_are_errors(values):
    with pytest.raises(ConfigError, match="lookahead="):
        Lookahead(**values)


def test_synchronizations_are_at_the_runs_steps_whatever_was_left_out():
    tx = lookahead(Lookahead(every=2, decay=0.5), TOTAL)
    params, state = {"w": jnp.zeros(1)}, tx.init({"w": jnp.zeros(1)})
    # Step 1, after which the first synchronization is due, is left out, and so is step 2.
    for step, expected in ((0, 1.0), (3, 1.0), (4, 2.0), (5, 2.0)):
        updates, state = tx.update({"w": jnp.ones(1)}, state, params, step=jnp.int32(step))
        params = optax.apply_updates(params, updates)
        np.testing.assert_array_equal(params["w"], expected)
