"""The classes of a run that keeps some of its dataset's are these, by name and number."""

import jax
import pytest

from library.config import ConfigError
from library.run import class_names
from library.run.data_record import DataRecord
from library.run.fine_tuning import Classes
from library.run.recipe import make_plan
from tests import families

NAMES = ("cat", "dog", "cow", "hen")
BOXES = ("image", "boxes", "boxes_label", "boxes_mask")
DETECTION = dict(name="detection")


def keeping(*classes, **options):
    return dict(name="keep_classes", classes=list(classes), **options)


def named(*preprocess, task=DETECTION, features=BOXES):
    return class_names.names(preprocess, task, features, NAMES)


def test_the_classes_are_named_in_the_order_in_which_they_are_kept():
    assert named(dict(name="decode")) == NAMES
    assert named(keeping(3, 0)) == ("hen", "cat")
    # A second operation numbers what the first has left.
    assert named(keeping(3, 0, 1), keeping(2, 0)) == ("dog", "hen")
    stages = dict(train=[keeping(1)], test=[dict(name="decode"), keeping(1)])
    assert class_names.names(stages, DETECTION, BOXES, NAMES) == ("dog",)
    assert class_names.names([keeping(3, 0)], DETECTION, BOXES, None) is None
    assert class_names.kept([keeping(3, 0)], DETECTION, BOXES) == [3, 0]


def test_only_the_objects_that_the_task_learns_count():
    assert named(keeping(1, key="faces")) == NAMES
    assert named(keeping(1, key="faces"), task={**DETECTION, "target": "faces"}) == ("dog",)
    # By its default this task learns the feature "map"; this one has no target.
    assert named(keeping(1), task=dict(name="segmentation")) == NAMES
    assert named(keeping(1), task=dict(name="mae")) == NAMES
    assert named(keeping(1), features=(*BOXES, "label")) == NAMES


@pytest.mark.parametrize("preprocess", [[keeping(0, 4)], [keeping(0, 1, 2, 3), keeping(4)]])
def test_a_class_that_there_is_not_is_named(preprocess):
    with pytest.raises(ConfigError, match="there is no class 4; valid are 0 to 3"):
        named(*preprocess)


def test_runs_that_keep_other_classes_of_a_dataset_have_other_classes():
    record = DataRecord(dict.fromkeys(BOXES), NAMES)
    runs = [dict(task=DETECTION, preprocess=[keeping(*own)]) for own in ((0, 1), (1, 2), (1, 0))]
    first, second, turned = (class_names.of_run(values, record) for values in runs)
    assert Classes(first, second).differ
    axes = {"params/head/bias": 0}
    change = Classes(first, turned, lambda: axes).change("params/head/bias", (2,))
    assert change.order == (1, 0)


def test_a_plan_has_the_classes_that_are_left(monkeypatch):
    families.serve(monkeypatch)
    select, pad = families.config("detector")["preprocess"]
    values = families.config("detector", preprocess=[select, keeping(2, 0), pad])
    plan = make_plan(values, devices=jax.devices()[:1])
    a, _, c, _ = families.tiny.CLASSES
    assert plan.label_names == (c, a)
    # One for the confidence and four for the box.
    assert plan.state.params["head"]["bias"].shape == (5 + 2,)
    wrong = {**values, "preprocess": [select, keeping(4), pad]}
    with pytest.raises(ConfigError, match="there is no class 4"):
        make_plan(wrong, devices=jax.devices()[:1])
