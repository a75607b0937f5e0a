"""Operations that make labels and targets of other features, or leave features out."""

import functools

import numpy as np

from library.config import ConfigError
from library.data.preprocessing._examples import Operation, feature, positive, shown, without


def select(keys: tuple[str, ...]) -> Operation:
    """Keeps only the features `keys`."""
    return functools.partial(_select, keys=tuple(keys))


def to_label(key: str) -> Operation:
    """Makes the feature `key`, whole numbers, the `label`: "coarse_label" of CIFAR-100."""
    return functools.partial(_to_label, key=key)


def to_labels(key: str, num_classes: int) -> Operation:
    """Makes the feature `key`, a list of classes, the `label`: 1 for each of them, and 0 else.

    The label is float32 `(num_classes,)`; of no class at all it is all 0. ImageNet's "real_label"
    is such a list.
    """
    return functools.partial(_to_labels, key=key, num_classes=positive(num_classes))


def to_target(key: str, mean: float = 0.0, std: float = 1.0) -> Operation:
    """Makes the feature `key`, numbers, the `target` of a regression: `(value - mean) / std`.

    The target is float32 `(d,)`, `d = 1` for a single number.
    """
    if std <= 0:
        raise ConfigError(f"std={std} is not above 0")
    return functools.partial(_to_target, key=key, mean=mean, std=std)


def _select(example, rng, *, keys):
    return {key: feature(example, key) for key in keys}


def _to_label(example, rng, *, key):
    value = np.asarray(feature(example, key))
    if not np.issubdtype(value.dtype, np.integer):
        raise ValueError(f"{key} is {shown(value)}: a label is whole numbers")
    return {**without(example, key), "label": value.astype(np.int32)}


def _to_labels(example, rng, *, key, num_classes):
    classes = np.atleast_1d(feature(example, key)).ravel()
    if len(classes) and not np.issubdtype(classes.dtype, np.integer):
        raise ValueError(f"{key} is {shown(classes)}: classes are whole numbers")
    classes = classes.astype(np.int64)
    if any(classes < 0) or any(classes >= num_classes):
        raise ValueError(f"{key} is {classes.tolist()}: classes are 0 to {num_classes - 1}")
    label = np.zeros(num_classes, np.float32)
    label[classes] = 1
    return {**without(example, key), "label": label}


def _to_target(example, rng, *, key, mean, std):
    value = np.asarray(feature(example, key))
    if value.dtype.kind not in "iufb":
        raise ValueError(f"{key} is {shown(value)}: a target is numbers")
    target = (np.atleast_1d(value).ravel() - mean) / std
    return {**without(example, key), "target": target.astype(np.float32)}
