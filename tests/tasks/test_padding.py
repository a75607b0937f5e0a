"""What lies in padding, and in the place of skipped examples, changes no bit of anything."""

import jax
import numpy as np
import pytest

from library import config, rng
from library.data import on_device
from library.run import inputs, recipe, stepping
from library.run.feed import Feed
from library.task import pair, where_present, without_padding
from tests import families, often, tiny

# A perceptron hands on what is no number; pooling on CPU leaves it out.
CLASSIFIER = dict(task=dict(name="classification"), model=tiny.PERCEPTRON)
NORMALIZED = {**CLASSIFIER, "model": dict(name="cnn.small", widths=(4,))}
SIGMOID = dict(
    task=dict(name="classification", loss="sigmoid"),
    model=tiny.PERCEPTRON,
    augment=[dict(name="mixup", alpha=0.4, num_classes=4)],
)
CHANGES = {"classifier": CLASSIFIER, "normalized": NORMALIZED, "sigmoid": SIGMOID}
LONGER = [
    pytest.param(name, marks=pytest.mark.full)
    for name in ("gan", "simclr", "triplet", "autoencoder")
]
TRAINED = ("normalized", "sigmoid", "vae", *LONGER)
EVALUATED = {
    "metrics": ("classifier", dict(kind="metrics")),
    "vae": ("vae", dict(kind="importance_weighted", k=2)),
    "diffusion": ("diffusion", dict(kind="variational_bound")),
    "attacked": (
        "classifier",
        dict(kind="robust_accuracy", adversary=dict(name="pgd", epsilon=0.1, steps=2)),
    ),
}


def opened(name, monkeypatch):
    """Returns the plan and the feed of a family, or of a classifier."""
    families.serve(monkeypatch)
    if name in CHANGES:
        values = tiny.config(normalize=None, **CHANGES[name])
    else:
        values = families.config(name, dataset=dict(cache="none"), evaluate={})
    plan = recipe.make_plan(values, devices=jax.devices()[:1])
    return plan, Feed(plan)


def holding(batch, value):
    """Returns a batch whose padding, the last five and the second, has a value in all floats."""
    mask = np.ones(len(batch["index"]), np.float32)
    mask[[1, -5, -4, -3, -2, -1]] = 0

    def filled(x):
        x = np.asarray(x)
        if x.dtype != np.float32:
            return x
        return np.where(mask.reshape(-1, *[1] * (x.ndim - 1)) > 0, x, np.float32(value))

    return {name: filled(x) for name, x in batch.items()} | {"mask": mask}


def assert_same(ours, theirs):
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_array_equal(a, b)
        assert np.isfinite(np.asarray(a, np.float32)).all()


@pytest.mark.parametrize("name", often.but(["sigmoid"], TRAINED))
def test_a_step_is_the_same(name, monkeypatch):
    plan, feed = opened(name, monkeypatch)
    state, key = stepping.initial_carry(plan, feed).state, rng.root(0)
    batch = inputs.train_input(plan, next(feed.train(0)), feed.constants, key)
    update = jax.jit(plan.task.update)
    ours, theirs = (update(state, holding(batch, value), key) for value in (np.nan, 0.0))
    assert_same(ours, theirs)


@pytest.mark.parametrize(
    "name",
    often.but(
        ["vae"], ["metrics", "vae", "attacked", pytest.param("diffusion", marks=pytest.mark.full)]
    ),
)
def test_an_evaluation_is_the_same(name, monkeypatch):
    family, spec = EVALUATED[name]
    plan, feed = opened(family, monkeypatch)
    state = families.stirred(jax.device_get(stepping.initial_carry(plan, feed).state))

    def measured(value):
        def batches(split, size):
            for batch in feed.evaluation(split, size):
                yield holding(on_device.to_float(batch), value)

        context = feed.context()._replace(batches=batches)
        spec_of = {"name": spec["kind"], **{k: v for k, v in spec.items() if k != "kind"}}
        made = config.build(spec_of, "library.evaluation", "evaluator", context=context)
        return {k: v for k, v in made(state).items() if k != "per_class_accuracy"}

    assert_same(measured(np.nan), measured(0.0))


def test_sums_over_examples_by_hand():
    mask = np.float32([1, 0, 1])
    values = np.float32([[1, 2], [np.nan, np.inf], [5, 6]])
    total, count = pair(jax.numpy.asarray(values), mask)
    np.testing.assert_array_equal(total, [6, 8])
    assert count == 2
    np.testing.assert_array_equal(where_present(values, mask), [[1, 2], [0, 0], [5, 6]])
    batch = without_padding({"image": values, "mask": mask, "label": np.int32([1, 2, 3])})
    np.testing.assert_array_equal(batch["image"], [[1, 2], [0, 0], [5, 6]])
    np.testing.assert_array_equal(batch["label"], [1, 2, 3])
    np.testing.assert_array_equal(batch["mask"], mask)
