import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.evaluation.clusters import clusters, compared
from library.evaluation.context import Context
from library.task import Task, TrainState

STATE = TrainState(jnp.int32(0), {}, {}, (), None)


def test_purity_and_rand_index_by_hand():
    found = compared(np.array([0, 0, 0, 1, 1, 1]), np.array([2, 2, 1, 1, 1, 1]))
    assert found["purity"] == pytest.approx(5 / 6)
    # 3 + 1 + 1 = 4 pairs are together in both, 6 in the groups and 7 by the labels, of 15.
    together, groups, labels, pairs = 4, 6, 7, 15
    chance = groups * labels / pairs
    expected = (together - chance) / ((groups + labels) / 2 - chance)
    assert found["adjusted_rand"] == pytest.approx(expected)


def test_groups_that_lie_apart_are_found_without_padding():
    random = np.random.default_rng(0)
    label = np.arange(31) % 3
    x = random.normal(size=(31, 2)) * 0.1 + 5 * np.eye(3)[label][:, :2]
    batch = dict(x=jnp.asarray(x).at[-1].set(1e6), label=jnp.asarray(label))
    batch["mask"] = jnp.ones(31).at[-1].set(0)
    outputs = {"features": lambda state, batch, key: batch["x"]}

    def collect(function):
        return lambda state, batch: jax.device_get(function(state, batch, jax.random.key(0)))

    context = Context(
        Task(None, None, None, outputs),
        lambda split, size: [batch],
        collect,
        collect,
        label_names=tuple("abc"),
    )
    assert clusters(context)(STATE) == {"purity": 1.0, "adjusted_rand": 1.0}
    with pytest.raises(ConfigError, match="num=0: valid are 1 or more"):
        clusters(context, num=0)
    with pytest.raises(ConfigError, match="these examples have none"):
        clusters(context._replace(label_names=None))
