"""Domain adaptation: the gradient that is reversed, and what is measured of either source."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from library.models.image.domain_adversarial import DomainAdversarial, reversed_gradient
from library.summaries import summarize
from library.task import minimize
from library.tasks.domain_adaptation import domain_adaptation

KEY = jax.random.key(0)
MODEL = DomainAdversarial(num_classes=3, widths=(2,), hidden=4)


def batch_of(size=4, step=0):
    random = np.random.default_rng(0)
    images = jnp.asarray(random.normal(size=(2, size, 6, 6, 1)), jnp.float32)
    place = jnp.arange(size, dtype=jnp.uint32)
    label = jnp.arange(size, dtype=jnp.int32) % 3
    batch = dict(source_image=images[0], target_image=images[1], source_label=label)
    mask = jnp.float32([1] * (size - 1) + [0])
    return {**batch, "mask": mask, "index": step * size + place, "row": place}


def build(**arguments):
    def learn(loss, **options):
        return minimize(loss, optax.sgd(1.0), **options)

    return domain_adaptation(MODEL, learn, num_classes=3, total_steps=4, batch_size=4, **arguments)


def test_the_gradient_is_reversed_and_the_value_is_not():
    def f(x, strength):
        return jnp.sum(jnp.sin(reversed_gradient(x, strength)))

    x = jnp.float32([0.3, -1.0])
    assert f(x, jnp.float32(2)) == jnp.sum(jnp.sin(x))
    np.testing.assert_allclose(jax.grad(f)(x, jnp.float32(2)), -2 * jnp.cos(x), rtol=1e-6)


@pytest.mark.full
def test_the_strength_rises_from_nothing():
    """At first no gradient of the domains reaches the features; later it is the one reversed."""
    batch, task = batch_of(), build()
    state = task.init(KEY, batch)

    def moved(task, batch):
        after, _ = jax.jit(task.update)(state, batch, KEY)
        return jax.tree.map(lambda a, b: np.asarray(b - a), state.params, after.params)["conv1"]

    still = build(strength=0.0)
    np.testing.assert_allclose(
        moved(task, batch)["kernel"], moved(still, batch)["kernel"], atol=1e-7
    )
    half = batch_of(step=2)
    alone, pushed = moved(still, half)["kernel"], moved(task, half)["kernel"]
    twice = moved(build(strength=2.0), half)["kernel"]
    assert np.abs(pushed - alone).max() > 1e-4
    np.testing.assert_allclose(twice - alone, 2 * (pushed - alone), rtol=1e-3, atol=1e-6)
    # With p = 1/2 and gamma = 10, of section 4.
    rise = 2 / (1 + np.exp(-5.0)) - 1
    whole = moved(build(strength=1 / rise), half)["kernel"]
    np.testing.assert_allclose((whole - alone) * rise, pushed - alone, rtol=1e-3, atol=1e-6)


def test_the_strength_is_that_of_the_step_in_each_part_of_a_batch():
    batch, found = batch_of(step=2), []
    for parts in (1, 2):
        learn = functools.partial(minimize, optimizer=optax.sgd(1.0), accumulate=parts)
        task = domain_adaptation(MODEL, learn, num_classes=3, total_steps=4, batch_size=4)
        found.append(jax.jit(task.update)(task.init(KEY, batch), batch, KEY)[0].params)
    for whole, parted in zip(*map(jax.tree.leaves, found)):
        np.testing.assert_allclose(parted, whole, rtol=1e-4, atol=1e-6)


def test_what_is_measured_of_the_domains_by_hand():
    batch, task = batch_of(), build()
    batch["target_label"] = jnp.int32([0, 1, 2, 0])
    state = task.init(KEY, batch)
    variables = {"params": state.params}
    ours, theirs = (MODEL.apply(variables, batch[f"{x}_image"]) for x in ("source", "target"))
    got = summarize(jax.device_get(task.evaluate(state, batch, KEY)))
    logits, label = np.float64(ours[0][:3]), np.asarray(batch["source_label"])[:3]
    each = np.log(np.exp(logits).sum(1)) - logits[np.arange(3), label]
    assert got["label_loss"] == pytest.approx(each.mean(), rel=1e-5)
    between = (np.log1p(np.exp(np.float64(ours[1]))) + np.log1p(np.exp(-np.float64(theirs[1])))) / 2
    assert got["domain_loss"] == pytest.approx(between[:3].mean(), rel=1e-5)
    right = (np.asarray(ours[1])[:3] <= 0).astype(float) + (np.asarray(theirs[1])[:3] > 0)
    assert got["domain_accuracy"] == pytest.approx(right.mean() / 2, rel=1e-6)
    told = np.asarray(theirs[0]).argmax(1)[:3] == [0, 1, 2]
    assert got["target_accuracy"] == pytest.approx(told.mean(), rel=1e-6)
    assert got["loss"] == pytest.approx(got["label_loss"] + got["domain_loss"], rel=1e-6)
