"""Several players: their order, their parts of the batch, their optimizers, and what they leave."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from library import rng, task, trees
from library.config import ConfigError
from library.optim import optimizers
from library.task import Average, averaged, nonfinite_names, pair

KEY = jax.random.key(3)
PLAYERS = ("critic", "maker")


def batch(size=8):
    index = jnp.arange(size, dtype=jnp.uint32)
    value = jnp.linspace(-1.0, 1.0, size) ** 2
    return {"index": index, "mask": jnp.ones(size), "value": value}


def start():
    params = {"critic": {"w": jnp.array(0.5)}, "maker": {"w": jnp.array(2.0)}}
    seen = {name: {"count": jnp.array(0.0)} for name in PLAYERS}
    return {"params": params, "seen": seen}


def counted(variables, name):
    seen = {**variables["seen"], name: {"count": variables["seen"][name]["count"] + 1}}
    return {**variables, "seen": seen}


def critic_loss(params, variables, batch, key):
    losses = (params["critic"]["w"] * params["maker"]["w"] - batch["value"]) ** 2
    return {"loss": pair(losses, batch["mask"])}, counted(variables, "critic")


def maker_loss(params, variables, batch, key):
    losses = params["critic"]["w"] * params["maker"]["w"] * batch["value"]
    return {"loss": pair(losses, batch["mask"])}, counted(variables, "maker")


LOSSES = {"critic": critic_loss, "maker": maker_loss}
alternate = functools.partial(task.alternate, spread={"seen": "replicated"})


def by_hand(values, updates, rate=0.1):
    """Two moves of the critic on the halves of the batch, then one of the maker on the first."""
    c, m = 0.5, 2.0
    for j in range(updates):
        part = values[j::updates]
        c -= rate * np.mean(2 * (c * m - part) * m)
    m -= rate * np.mean(c * values[0::updates])
    return c, m


@pytest.mark.parametrize("updates", [1, 2])
def test_players_move_in_turn_each_on_its_part(updates):
    learner = alternate(LOSSES, optimizers=optax.sgd(0.1), updates={"critic": updates})
    state, metrics = jax.jit(learner.update)(learner.init(start()), batch(), KEY)
    expected = by_hand(np.asarray(batch()["value"]), updates)
    np.testing.assert_allclose(state.params["critic"]["w"], expected[0], rtol=1e-6)
    np.testing.assert_allclose(state.params["maker"]["w"], expected[1], rtol=1e-6)
    assert state.step == 1
    assert state.variables["seen"]["critic"]["count"] == updates
    assert metrics["critic_loss"][1] == 8
    assert metrics["maker_loss"][1] == 8 / updates


def test_devices_agree():
    options = dict(optimizers=optax.adam(0.1), updates={"critic": 2}, average=Average(0.5))
    whole = alternate(LOSSES, **options)
    parts = alternate(LOSSES, axis_name="data", **options)
    state = other = whole.init(start())
    # Each device is given the examples that its share of the interleaved parts comes from.
    split = jax.tree.map(lambda x: x.reshape(4, -1), batch(16))
    axes = dict(in_axes=(None, 0, None), out_axes=None)
    move = jax.pmap(parts.update, "data", devices=jax.devices()[:4], **axes)
    for _ in range(3):
        state, ours = jax.jit(whole.update)(state, batch(16), KEY)
        other, theirs = move(other, split, KEY)
    for a, b in zip(jax.tree.leaves((state, ours)), jax.tree.leaves((other, theirs))):
        np.testing.assert_allclose(a, b, rtol=2e-6, atol=1e-7)


def test_averages_are_of_all_players():
    learner = alternate(LOSSES, optimizers=optax.sgd(0.1), average=Average(0.75))
    before = learner.init(start())
    after, _ = learner.update(before, batch(), KEY)
    for name in PLAYERS:
        mean = 0.75 * before.params[name]["w"] + 0.25 * after.params[name]["w"]
        np.testing.assert_allclose(averaged(after).params[name]["w"], mean, rtol=1e-6)


def breaking(name):
    """Returns the players' losses, that of one with a gradient that is not finite."""

    def broken(params, variables, batch, key):
        metrics, variables = LOSSES[name](params, variables, batch, key)
        total, weight = metrics["loss"]
        return {"loss": (total + jnp.log(-jnp.ones(())) * params[name]["w"], weight)}, variables

    return {**LOSSES, name: broken}


@pytest.mark.parametrize("name", PLAYERS)
@pytest.mark.parametrize("updates", [{}, {"critic": 2}, {"maker": 2}])
def test_a_step_that_breaks_one_player_moves_none(name, updates):
    options = dict(optimizers=optax.sgd(0.1), average=Average(0.5), updates=updates)
    before = alternate(LOSSES, **options).init(start())
    after, metrics = alternate(breaking(name), **options).update(before, batch(), KEY)
    assert trees.digest(after.replace(step=before.step)) == trees.digest(before)
    np.testing.assert_array_equal(after.step, 1)
    flags = np.asarray(metrics["nonfinite"][0]) > 0
    named = {n for n, flag in zip(nonfinite_names(after), flags, strict=True) if flag}
    assert named == {"loss", f"params/{name}/w"}


@pytest.mark.parametrize("updates", [{}, {"maker": 2}])
def test_a_step_of_a_run_that_has_ended_moves_no_player(updates):
    learner = alternate(LOSSES, optimizers=optax.adam(0.1), average=Average(0.5), updates=updates)
    before = learner.init(start())
    after, metrics = learner.update(before, {**batch(), task.HALTED: jnp.ones((), bool)}, KEY)
    assert trees.digest(after.replace(step=before.step)) == trees.digest(before)
    assert not np.any(metrics["nonfinite"][0])


def test_each_player_draws_its_own():
    keys = {}

    def drawing(name):
        def loss(params, variables, batch, key):
            keys[name] = key
            return maker_loss(params, variables, batch, key)

        return loss

    learner = alternate({name: drawing(name) for name in PLAYERS}, optimizers=optax.sgd(0.1))
    learner.update(learner.init(start()), batch(), KEY)
    for name in PLAYERS:
        expected = jax.random.key_data(rng.purpose(KEY, name))
        np.testing.assert_array_equal(jax.random.key_data(keys[name]), expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(optimizers={"critic": optax.sgd(1.0)}), "no player 'maker'"),
        (dict(optimizers={n: optax.sgd(1.0) for n in ("critic", "maker", "x")}), "'x'"),
        (dict(optimizers=optax.sgd(1.0), updates={"maker2": 2}), "did you mean 'maker'"),
        (dict(optimizers=optax.sgd(1.0), accumulate=2), "accumulate=2"),
    ],
)
def test_players_that_do_not_fit_are_named(options, message):
    with pytest.raises(ConfigError, match=message):
        alternate(LOSSES, **options)


def test_a_batch_that_does_not_split_is_named():
    learner = alternate(LOSSES, optimizers=optax.sgd(0.1), updates={"critic": 3})
    with pytest.raises(ConfigError, match="updates=3 does not divide a device's 8 examples"):
        learner.update(learner.init(start()), batch(), KEY)


def test_schedules_count_the_moves_of_their_player():
    spec = dict(name="sgd", learning_rate=1.0, schedule=dict(name="linear"))
    players = {"critic": {**spec, "updates": 5}, "maker": spec}
    assert optimizers.by_player(spec) is None
    made = optimizers.make_optimizers(
        optimizers.by_player(players), total_steps=10, steps=lambda _: 10, batch_size=40
    )
    assert [made[name].updates for name in PLAYERS] == [5, 1]
    for step in (0, 3, 9):
        rates = [float(made[name].learning_rate(step)) for name in PLAYERS]
        assert rates[0] == pytest.approx(rates[1], abs=1e-6)
    state = made["critic"].optimizer.init(jnp.zeros(()))
    for _ in range(25):
        moved, state = made["critic"].optimizer.update(jnp.ones(()), state, jnp.zeros(()))
    # The 25th of 50 moves is at 24/50 of the way down.
    np.testing.assert_allclose(moved, -(1 - 24 / 50), rtol=1e-5)


@pytest.mark.parametrize("updates", [0, 1.5, True])
def test_updates_are_whole_numbers(updates):
    players = {"critic": dict(name="sgd", learning_rate=1.0, updates=updates)}
    with pytest.raises(ConfigError, match=r"optimizer\.critic\.updates"):
        optimizers.make_optimizers(players, total_steps=1, steps=lambda _: 1, batch_size=1)
