"""Phases of a run: where they begin, and that an optimizer knows nothing of the ones before."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library import trees
from library.config import ConfigError
from library.optim import phases
from library.optim.optimizers import make_optimizer


@pytest.mark.parametrize(
    ("total", "count", "expected"),
    [
        (12, 4, (0, 3, 6, 9)),
        (10, 4, (0, 3, 5, 8)),
        (7, 3, (0, 3, 5)),
        (3, 3, (0, 1, 2)),
        (5, 1, (0,)),
    ],
)
def test_phases_are_equal_but_for_rounding(total, count, expected):
    first = phases.starts(total, count)
    assert first == expected
    found = [int(phases.current(step, first)) for step in range(total + 2)]
    lengths = np.bincount(found[:total])
    assert len(lengths) == count
    assert lengths.max() - lengths.min() <= 1
    assert found[total:] == [count - 1] * 2
    assert [found.index(phase) for phase in range(count)] == list(expected)


@pytest.mark.parametrize("count", [0, 4])
def test_a_phase_has_a_step_or_more(count):
    with pytest.raises(ConfigError, match=f"phases={count}: a run of 3 steps has 1 to 3 phases"):
        phases.starts(3, count)


SPEC = dict(
    name="adamw",
    learning_rate=0.1,
    weight_decay=0.2,
    schedule=dict(name="cosine", warmup="2 steps"),
    rates=[["slow", 0.5]],
    clip=dict(global_norm=1.0),
)


def steps(text):
    return int(text.split()[0])


def made(total, **changes):
    return make_optimizer({**SPEC, **changes}, total_steps=total, steps=steps, batch_size=8)


def test_a_run_in_phases_is_one_run_after_the_other():
    params = {"slow": jnp.array([1.0, -2.0]), "kernel": jnp.array([[0.5, 3.0]])}
    random = np.random.default_rng(0)
    gradients = [
        jax.tree.map(lambda x: jnp.asarray(random.normal(size=x.shape), x.dtype), params)
        for _ in range(9)
    ]

    def descend(tx, params, gradients):
        state, update = tx.init(params), jax.jit(tx.update)
        for gradient in gradients:
            updates, state = update(gradient, state, params)
            params = jax.tree.map(lambda p, u: p + u, params, updates)
        return params

    whole, schedule = made(9, phases=3)
    one, its_schedule = made(3)
    expected = params
    for part in (gradients[:3], gradients[3:6], gradients[6:]):
        expected = descend(one, expected, part)
    found = descend(whole, params, gradients)
    assert trees.digest(found) == trees.digest(expected)
    plain, _ = made(9)
    assert trees.digest(found) != trees.digest(descend(plain, params, gradients))
    rates = [float(schedule(step)) for step in range(9)]
    assert rates == 3 * [float(its_schedule(step)) for step in range(3)]
    assert rates[:3] == pytest.approx([0, 0.05, 0.1])


@pytest.mark.parametrize("count", [0, 10])
def test_phases_that_do_not_fit_the_run(count):
    with pytest.raises(ConfigError, match=f"phases={count}: a run of 9 steps has 1 to 9 phases"):
        made(9, phases=count)
