"""Splits that a recipe names itself: other data sets, other sizes, other labels."""

import io

import jax
import numpy as np
import pytest
from PIL import Image

from library.apps import predictions
from library.config import ConfigError
from library.data import sources
from library.evaluation.context import collected
from library.run import evaluating, stepping
from library.run.feed import Feed
from library.run.recipe import make_plan
from library.run.session import Trained
from tests import tiny

SMALL = [dict(name="resize_short", size=8), dict(name="center_crop", size=6)]
LARGE = [dict(name="resize_short", size=12), dict(name="center_crop", size=10)]
SPLITS = dict(
    v2=dict(dataset="other", split="test"),
    large=dict(split="test[:9]", preprocess=LARGE),
    real=dict(
        dataset="real",
        split="validation",
        then=[dict(name="to_labels", key="real_label", num_classes=4)],
    ),
)
EVALUATE = dict(
    test=dict(kind="metrics"),
    v2=dict(kind="metrics", split="v2"),
    large=dict(kind="metrics", split="large", batch_size=8),
    real=dict(kind="real_labels", split="real"),
)
# Every third image has no real label, and the others their own and the next, or the next alone.
REAL = tiny.arrays(19, seed=3)
REAL_LABELS = [
    [] if i % 3 == 2 else [label, (label + 1) % 4] if i % 3 == 1 else [(label + 1) % 4]
    for i, label in enumerate(REAL["label"].tolist())
]


def source(arrays, name, label_names=tiny.CLASSES):
    return sources.from_arrays(arrays, label_names=label_names, name=name)


def ragged(lists):
    found = np.empty(len(lists), object)
    found[:] = [np.array(each, np.int64) for each in lists]
    return found


DATA = {
    ("tiny", "train"): source(tiny.arrays(48), "tiny"),
    ("tiny", "test"): source(tiny.arrays(21, seed=1), "tiny"),
    ("tiny", "test[:9]"): source({k: v[:9] for k, v in tiny.arrays(21, seed=1).items()}, "tiny"),
    ("other", "test"): source(tiny.arrays(17, seed=2), "other"),
    ("real", "validation"): source({**REAL, "real_label": ragged(REAL_LABELS)}, "real"),
    ("fewer", "test"): source(tiny.arrays(9), "fewer", ("a", "b", "c", "d", "e")),
    ("turned", "test"): source(tiny.arrays(9), "turned", tiny.CLASSES[::-1]),
    ("renamed", "test"): source(tiny.arrays(9), "renamed", ("A", "B", "C", "D")),
}


@pytest.fixture(autouse=True)
def opened(monkeypatch):
    """Data sets by name and split, and what of them was opened, with which options."""
    seen = []

    def open_source(name, split, **options):
        seen.append((name, split, options))
        return DATA[name, split]

    monkeypatch.setattr(sources, "open_source", open_source)
    return seen


def config(**changes):
    values = dict(
        preprocess=SMALL, model=tiny.CONV, splits=SPLITS, evaluate=EVALUATE, total="1 steps"
    )
    return tiny.config(**values | changes)


@pytest.fixture(scope="module")
def evaluated():
    """The arrays of each split, and what the evaluators say of the first state."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "open_source", lambda name, split, **options: DATA[name, split])
        plan = make_plan(config(), devices=jax.devices()[:2])
        feed = Feed(plan)
        state = stepping.initial_carry(plan, feed).state
        context = feed.context()

        def seen(state, batch, key):
            logits = plan.task.outputs["logits"](state, batch, key)
            return {"logits": logits, "label": batch["label"], "mask": batch["mask"]}

        collect = context.collect(seen)
        splits = ("test", "v2", "large", "real")
        arrays = {name: collected(collect, state, context.batches(name, None)) for name in splits}
        measured = {}
        for name, evaluation in evaluating.evaluations(plan, feed).items():
            measured |= evaluating.measured(name, evaluation, state)
        return plan, arrays, measured


def test_each_evaluator_measures_its_own_split(evaluated):
    _, arrays, measured = evaluated
    sizes = {name: len(found["label"]) for name, found in arrays.items()}
    assert sizes == {"test": 21, "v2": 17, "large": 9, "real": 19}
    for name in ("test", "v2", "large"):
        right = arrays[name]["logits"].argmax(-1) == arrays[name]["label"]
        assert measured[f"{name}/accuracy"] == pytest.approx(right.mean())
    best = arrays["real"]["logits"].argmax(-1)
    right = [k in classes for k, classes in zip(best, REAL_LABELS, strict=True) if classes]
    assert len(right) == 13
    assert measured["real/labelled"] == 13
    assert measured["real/accuracy"] == pytest.approx(np.mean(right))


def test_images_are_prepared_as_each_split_says(evaluated):
    plan, _, _ = evaluated
    shapes = {name: plan.splits(name).blank["image"].shape for name in ("test", *SPLITS)}
    small = dict.fromkeys(("test", "v2", "real"), (6, 6, 1))
    assert shapes == {**small, "large": (10, 10, 1)}
    picture = Image.fromarray(DATA["tiny", "test"].records[3]["image"][..., 0])
    expected = np.asarray(picture.resize((12, 12), Image.Resampling.BILINEAR))[1:11, 1:11]
    found = plan.splits("large").load(0, 3)["image"]
    np.testing.assert_array_equal(found[..., 0], expected)


def test_what_a_split_leaves_out_is_that_of_the_training_data(opened):
    values = config(dataset=dict(data_dir="here", manual_dir="there", classes=["a"]))
    values["splits"] = dict(
        v2=dict(dataset="other", data_dir="elsewhere"), same=dict(split="test"), now=dict()
    )
    values["evaluate"] = {}
    plan = make_plan(values, devices=jax.devices()[:1])
    opened.clear()
    for name in ("v2", "same", "now", "test"):
        plan.splits(name)
    own = dict(manual_dir="there", classes=("a",), data_dir="here")
    assert opened == [
        ("other", "test", dict(manual_dir="there", classes=None, data_dir="elsewhere")),
        *[("tiny", "test", own)] * 3,
    ]


def test_training_data_that_are_evaluated_are_opened_once(opened):
    evaluate = dict(fit=dict(kind="metrics", split="train"), test=dict(kind="metrics"))
    plan = make_plan(config(splits={}, evaluate=evaluate), devices=jax.devices()[:1])
    assert plan.splits("train").source is plan.loader.source
    plan.splits.found()
    assert [(name, split) for name, split, _ in opened] == [("tiny", "train"), ("tiny", "test")]


def test_the_same_classes_may_have_other_names():
    splits = dict(v2=dict(dataset="renamed"))
    evaluate = dict(v2=dict(kind="metrics", split="v2"))
    make_plan(config(splits=splits, evaluate=evaluate), devices=jax.devices()[:1])


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        (dict(v2=dict(dataset="fewer")), "split 'v2' has 5 classes, and the training data have 4"),
        (dict(v2=dict(dataset="turned")), "another order: class 0 is 'd', and 'a' in the training"),
        (dict(test=dict(split="test")), r"splits\.test: that is dataset\.test"),
        (dict(v2=dict(spilt="test")), r"splits\.v2 takes no 'spilt': did you mean 'split'"),
        (dict(v2="test"), r"splits\.v2 is written dict"),
        (dict(v2=dict(preprocess=[dict(name="decod")])), "unknown preprocessing 'decod'"),
        (dict(v2=dict(then=[dict(name="decod")])), "unknown preprocessing 'decod'"),
        (dict(v2=dict(preprocess=LARGE[1:])), "center_crop of 10x10 out of uint8"),
        (dict(v2=dict(then=LARGE[1:])), "out of images of 6x6: valid are 1x1 to 6x6"),
        (dict(v2=dict(preprocess=[SMALL[0], LARGE[1]])), "side is 8: valid are 1 to 8, or"),
    ],
)
def test_splits_that_are_not_understood(splits, message):
    evaluate = dict(v2=dict(kind="metrics", split="v2"))
    with pytest.raises(ConfigError, match=message):
        make_plan(config(splits=splits, evaluate=evaluate), devices=jax.devices()[:1])


def test_a_size_that_the_network_does_not_take():
    evaluate = dict(large=EVALUATE["large"])
    model = dict(tiny.VIT, patch_size=3, positions="learned")
    with pytest.raises(ConfigError, match=r"evaluate\.large: the config does not fit together"):
        make_plan(config(model=model, evaluate=evaluate), devices=jax.devices()[:1])


def test_image_files_are_prepared_for_evaluation(tmp_path):
    file = io.BytesIO()
    Image.fromarray(tiny.arrays(1)["image"][0, ..., 0]).save(file, "PNG")
    (tmp_path / "a.png").write_bytes(file.getvalue())
    stages = dict(train=SMALL, test=[dict(name="decode", channels=1), *LARGE])
    plan = make_plan(config(preprocess=stages, evaluate={}), devices=jax.devices()[:1])
    found = predictions.from_files(Trained(plan, None, 0, None), [tmp_path / "a.png"])
    assert found.loaded[0]["image"].shape == (10, 10, 1)
