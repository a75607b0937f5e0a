"""Several sources, paired or each in its own order; no data at all; orders that see labels."""

import jax
import numpy as np
import pytest

from library.config import ConfigError
from library.data import pipeline, sources
from library.run.feed import Feed
from library.run.recipe import make_plan
from tests import tiny

PREPROCESS = [dict(name="select", keys=["a_image", "a_label", "b_image"])]

SHOWN = ("row", "a_image", "b_image", "a_label")


def numbered(count, start):
    """Images whose one pixel is their number."""
    image = np.arange(start, start + count, dtype=np.uint8)[:, None, None, None]
    return {"image": image, "label": np.arange(count) % 4}


@pytest.fixture(autouse=True)
def served(monkeypatch):
    tiny.serve(monkeypatch, train=tiny.arrays(32), test=tiny.arrays(8, seed=1))
    real = sources.open_source

    def open_source(name, split, **options):
        if name not in ("long", "short"):
            return real(name, split, **options)
        count = (20 if name == "long" else 9) if split == "train" else 5
        return sources.from_arrays(
            numbered(count, 0 if name == "long" else 100), label_names=tiny.CLASSES, name=name
        )

    monkeypatch.setattr(sources, "open_source", open_source)


def plan_of(devices=1, pairing="own", **changes):
    each = dict(a=dict(name="long"), b=dict(name="short" if pairing == "own" else "long"))
    usual = dict(name=None, sources=each, pairing=pairing, batch_size=8)
    dataset = {**usual, **changes.pop("dataset", {})}
    values = dict(
        preprocess=PREPROCESS,
        normalize=None,
        model=dict(name="mlp.mlp", hidden=(2,)),
        task=dict(name="classification", inputs=["a_image"]),
    )
    config = tiny.config(**{**values, **changes, "dataset": dataset})
    return make_plan(config, devices=jax.devices()[:devices])


def batches(plan, count, start=0):
    found = Feed(plan).train(start)
    return [{k: np.asarray(x) for k, x in next(found).items()} for _ in range(count)]


def labelled(patch):
    """The task that is asked for reads `label`; here it is the one of the first source."""
    real = pipeline.make_loader

    def make_loader(source, preprocess, **options):
        def renamed(example, rng):
            example = preprocess(example, rng)
            return {**example, "label": np.int32(example["a_label"])}

        return real(source, renamed, **options)

    patch.setattr(pipeline, "make_loader", make_loader)


def test_each_source_goes_in_its_own_order(monkeypatch):
    labelled(monkeypatch)
    plan = plan_of()
    assert plan.loader.kinds["b_image"] == "image"
    seen = batches(plan, 9)
    a, b = (np.concatenate([x[k].ravel() for x in seen]) for k in ("a_image", "b_image"))
    rows = np.concatenate([x["row"] for x in seen])
    np.testing.assert_array_equal(a, rows)
    # An epoch of each passes all of its examples once, in another order each time.
    assert sorted(a[:20]) == sorted(a[20:40]) == [*range(20)]
    for epoch in b[: 9 * 8].reshape(8, 9):
        assert sorted(epoch) == [*range(100, 109)]
    assert (b[:9] != b[9:18]).any()
    (later,) = batches(plan, 1, start=4)
    for name in SHOWN:
        np.testing.assert_array_equal(later[name], seen[4][name])
    # On eight devices the same.
    for ours, theirs in zip(batches(plan_of(8), 2), seen):
        for name in SHOWN:
            np.testing.assert_array_equal(ours[name], theirs[name])


def test_sources_are_paired_by_row(monkeypatch):
    labelled(monkeypatch)
    for batch in batches(plan_of(pairing="row"), 3):
        np.testing.assert_array_equal(batch["a_image"], batch["b_image"])
    each = dict(a=dict(name="long"), b=dict(name="short"))
    with pytest.raises(ConfigError, match=r"needs sources of equal length, got .*20"):
        plan_of(pairing="row", dataset=dict(sources=each))


def test_an_evaluation_passes_the_first_source_once(monkeypatch):
    labelled(monkeypatch)
    feed = Feed(plan_of())
    shown = [jax.device_get(batch) for batch in feed.evaluation("test", 8)]
    (batch,) = shown
    assert batch["a_image"].ravel()[:5].tolist() == [0, 1, 2, 3, 4]
    assert batch["b_image"].ravel()[:5].tolist() == [100, 101, 102, 103, 104]
    assert batch["mask"].tolist() == [1] * 5 + [0] * 3


def test_each_source_has_its_own_preprocessing(monkeypatch):
    labelled(monkeypatch)
    each = dict(a=dict(name="long", preprocess=[dict(name="resize", size=3)]), b=dict(name="short"))
    shapes = plan_of(dataset=dict(sources=each)).loader.blank
    assert (shapes["a_image"].shape, shapes["b_image"].shape) == ((3, 3, 1), (1, 1, 1))


@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        (dict(name="tiny"), "needs either 'name' or 'sources', and not both"),
        (dict(cache="device"), "does not support sources in their own order"),
        (
            dict(train="train[:5]"),
            "train is not read with dataset.sources: write .*sources.a.train",
        ),
        (dict(classes=["x"]), "classes is not read with dataset.sources"),
        (dict(sources=dict(a=dict(name="long", trian="x"))), "takes no 'trian'"),
        (dict(sources={"a b": dict(name="long")}), "letters, digits and _"),
    ],
)
def test_sources_that_are_not_understood_are_refused(dataset, said):
    with pytest.raises(ConfigError, match=said):
        plan_of(dataset=dataset)


def test_named_splits_of_several_sources_are_refused():
    with pytest.raises(
        ConfigError, match=r"splits\.more: a recipe with several sources evaluates only on"
    ):
        plan_of(splits=dict(more=dict(split="test")))


def test_an_order_may_see_the_labels():
    spec = dict(name="balanced", classes=2, examples=4)
    plan = tiny.plan_on(1, dataset=dict(order=spec))
    for batch in batches(plan, 3):
        labels = batch["label"].reshape(4, 4)
        assert (labels == labels[:, :1]).all()
        assert all(a != b for a, b in labels[:, 0].reshape(2, 2))
    with pytest.raises(ConfigError, match="batch_size=16 is not a multiple of 15"):
        tiny.plan_on(1, dataset=dict(order=dict(spec, classes=3, examples=5)))
