"""Operations that make labels and targets from other features, or remove features."""

import functools

import numpy as np

from library.config import ConfigError, check_choice
from library.data import features
from library.data.features import Kinds
from library.data.preprocessing._examples import (
    Operation,
    feature,
    kept,
    positive,
    shown,
    without,
)


def select(keys: tuple[str, ...]) -> Operation:
    """Keeps the features `keys` and removes all others."""
    return functools.partial(_select, keys=tuple(keys))


def to_label(key: str) -> Operation:
    """Renames the integer feature `key` to `label`, such as "coarse_label" of CIFAR-100."""
    return functools.partial(_to_label, key=key)


def to_labels(key: str, num_classes: int) -> Operation:
    """Converts the feature `key`, a list of classes, to a multi-hot `label`.

    The label is float32 `(num_classes,)`, 1 for each class of the list and 0 for all others. It is
    all 0 for an empty list. ImageNet's "real_label" is such a list.
    """
    return functools.partial(_to_labels, key=key, num_classes=positive(num_classes))


def to_target(key: str, mean: float = 0.0, std: float = 1.0) -> Operation:
    """Converts the numbers of the feature `key` to a regression target: `(value - mean) / std`.

    The feature `target` is float32 `(d,)`, with `d = 1` for a single number.
    """
    if std <= 0:
        raise ConfigError(f"to_target, std={std}: it must be above 0")
    return functools.partial(_to_target, key=key, mean=mean, std=std)


def keep_classes(
    classes: tuple[int, ...], key: str = "boxes", kinds: Kinds = features.USUAL
) -> Operation:
    """Keeps the objects of some classes and numbers these classes anew, in the order given.

    It drops the other objects of the feature `key` with all that belongs to them. Classes are those
    of the feature KEY_label.

    Raises:
      ConfigError: there are no such objects, or no classes, or a class twice.
    """
    check_choice("feature of keep_classes", key, features.named(kinds, *features.OBJECTS))
    if not classes or len(set(classes)) < len(classes):
        raise ConfigError(
            f"keep_classes, classes={list(classes)}: name one class or more, once each"
        )
    return functools.partial(_keep_classes, classes=tuple(classes), key=key, kinds=dict(kinds))


def drop_difficult(key: str = "boxes", kinds: Kinds = features.USUAL) -> Operation:
    """Drops the objects that are marked as difficult, by a 1 in the feature KEY_difficult.

    Raises:
      ConfigError: there is no such feature.
    """
    check_choice("feature of drop_difficult", f"{key}_difficult", kinds)
    return functools.partial(_drop_difficult, key=key, kinds=dict(kinds))


def _select(example, rng, *, keys):
    return {key: feature(example, key) for key in keys}


def _keep_classes(example, rng, *, classes, key, kinds):
    if key not in example:
        return example
    label = f"{key}_label"
    own = np.asarray(feature(example, label))
    there = np.isin(own, classes)
    names = (key, *features.companions(key, example, kinds))
    found = {**example, **kept(example, names, there)}
    numbers = [classes.index(each) for each in own[there].tolist()]
    return {**found, label: np.array(numbers, own.dtype)}


def _drop_difficult(example, rng, *, key, kinds):
    if key not in example:
        return example
    names = (key, *features.companions(key, example, kinds))
    easy = np.asarray(feature(example, f"{key}_difficult")) == 0
    return {**example, **kept(example, names, easy)}


def _to_label(example, rng, *, key):
    value = np.asarray(feature(example, key))
    if not np.issubdtype(value.dtype, np.integer):
        raise ValueError(f"{key} is {shown(value)}: a label consists of integers")
    return {**without(example, key), "label": value.astype(np.int32)}


def _to_labels(example, rng, *, key, num_classes):
    classes = np.atleast_1d(feature(example, key)).ravel()
    if len(classes) and not np.issubdtype(classes.dtype, np.integer):
        raise ValueError(f"{key} is {shown(classes)}: classes are integers")
    classes = classes.astype(np.int64)
    if any(classes < 0) or any(classes >= num_classes):
        raise ValueError(f"{key} is {classes.tolist()}: classes are 0 to {num_classes - 1}")
    label = np.zeros(num_classes, np.float32)
    label[classes] = 1
    return {**without(example, key), "label": label}


def _to_target(example, rng, *, key, mean, std):
    value = np.asarray(feature(example, key))
    if value.dtype.kind not in "iufb":
        raise ValueError(f"{key} is {shown(value)}: a target consists of numbers")
    target = (np.atleast_1d(value).ravel() - mean) / std
    return {**without(example, key), "target": target.astype(np.float32)}
