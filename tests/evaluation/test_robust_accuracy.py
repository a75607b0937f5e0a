"""Accuracy under attack, against a linear model whose margins are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library import rng
from library.adversarial_examples import attacks
from library.config import ConfigError
from library.evaluation.context import Context
from library.evaluation.robust_accuracy import robust_accuracy
from library.task import Task, TrainState

RANDOM = np.random.default_rng(0)
COUNT = 21
PIXELS = RANDOM.uniform(0.3, 0.7, (COUNT, 2, 2, 1)).astype(np.float32)
WEIGHT = np.float32([1.0, -2.0, 0.5, 1.5])
# What the network reads is 4 x - 2.
NORMALIZED = 4 * PIXELS - 2
MARGIN = NORMALIZED.reshape(COUNT, -1) @ WEIGHT
THRESHOLD = np.median(MARGIN) / 2
LABEL = np.int32(MARGIN > THRESHOLD)
STATE = TrainState(jnp.zeros((), jnp.int32), {}, {}, (), None)
KEY = jax.random.key(1)


def logits(state, batch, key):
    margin = batch["image"].reshape(len(batch["image"]), -1) @ jnp.asarray(WEIGHT)
    return jnp.stack([-margin, margin], axis=-1) / 2


def curved(state, batch, key):
    return jnp.sin(5 * logits(state, batch, key)) + 0.3 * logits(state, batch, key)


def batches(split, batch_size):
    size = batch_size or 8
    for start in range(0, COUNT if split == "test" else 0, size):
        rows = np.arange(start, start + size)
        real = rows < COUNT
        rows = np.where(real, rows, 0)
        yield {
            "image": jnp.asarray(NORMALIZED[rows]),
            "label": jnp.asarray(LABEL[rows]),
            "index": jnp.asarray(np.arange(start, start + size), jnp.uint32),
            "mask": jnp.asarray(real, jnp.float32),
        }


def context(output=logits, **changes):
    def measure(function):
        return lambda state, batch: jax.jit(function)(state, batch, KEY)

    values = dict(
        normalize=lambda x: 4 * x - 2, unnormalize=lambda x: (x + 2) / 4, label_names=("a", "b")
    )
    task = Task(None, None, None, {"logits": output} if output else {})
    return Context(task, batches, measure, None, **values | changes)


@pytest.mark.parametrize(("epsilon", "batch_size"), [(0.0, 21), (0.02, 5), (0.1, None)])
def test_margins_fall_by_what_they_can(epsilon, batch_size):
    """epsilon of a pixel is 4 epsilon for the network, and costs 4 epsilon |w|_1 of the margin."""
    margin = np.where(LABEL == 1, 1, -1) * MARGIN - 4 * epsilon * np.abs(WEIGHT).sum()
    for adversary in (dict(name="fgsm"), dict(name="pgd", steps=10)):
        adversary = {**adversary, "epsilon": epsilon}
        found = robust_accuracy(context(), adversary=adversary, batch_size=batch_size)(STATE)
        assert found["accuracy"] == pytest.approx(np.mean(margin > 0), abs=1e-6)
        assert found["loss"] == pytest.approx(np.log1p(np.exp(-margin)).mean(), rel=1e-5)
    if epsilon == 0.02:
        assert 0.1 < found["accuracy"] < np.mean(np.where(LABEL == 1, 1, -1) * MARGIN > 0) - 0.04


def test_every_restart_has_to_fail():
    adversary = dict(name="pgd", epsilon=0.2, steps=1, step_size=0.01)
    keys = rng.per_example(rng.purpose(KEY, "attack"), jnp.arange(COUNT, dtype=jnp.uint32))
    right, losses = [], []
    for restart in range(4):
        now = jax.vmap(lambda key, restart=restart: jax.random.fold_in(key, restart))(keys)
        seen = lambda x: curved(None, {"image": 4 * x - 2}, None)  # noqa: E731
        changed = attacks.projected_gradient(
            seen, jnp.asarray(PIXELS), jnp.asarray(LABEL), now, epsilon=0.2, steps=1, step_size=0.01
        )
        right.append(np.asarray(seen(changed)).argmax(-1) == LABEL)
        losses.append(-np.asarray(jax.nn.log_softmax(seen(changed)))[np.arange(COUNT), LABEL])
    for restarts in (1, 4):
        found = robust_accuracy(context(curved), adversary=adversary, restarts=restarts)(STATE)
        assert found["accuracy"] == pytest.approx(np.all(right[:restarts], axis=0).mean(), abs=1e-6)
        worst = np.max(losses[:restarts], axis=0).mean()
        assert found["loss"] == pytest.approx(worst, rel=1e-4)
    assert np.all(right, axis=0).mean() < right[0].mean()


def test_refused():
    pgd = dict(name="pgd", epsilon=0.1)
    with pytest.raises(ConfigError, match="unknown output of the task 'logits'"):
        robust_accuracy(context(output=None), adversary=pgd)
    with pytest.raises(ConfigError, match="restarts=0: valid are 1 or more"):
        robust_accuracy(context(), adversary=pgd, restarts=0)
    with pytest.raises(ConfigError, match=r"epsilon=2\.0: valid are 0 to 1"):
        robust_accuracy(context(), adversary=dict(name="fgsm", epsilon=2.0))
    with pytest.raises(ValueError, match="split 'empty' has no examples"):
        robust_accuracy(context(), adversary=pgd, split="empty")(STATE)
    whole = [{**batch, "label": jax.nn.one_hot(batch["label"], 2)} for batch in batches("test", 8)]
    several = context()._replace(batches=lambda split, size: whole)
    with pytest.raises(ConfigError, match=r"labels have shape \(8, 2\), not one each"):
        robust_accuracy(several, adversary=pgd)(STATE)
