"""Padding of features of varying length to a fixed length, with masks."""

import functools
from typing import Literal

import numpy as np
from jaxtyping import Float32

from library.config import ConfigError, check_choice
from library.data import features
from library.data.features import Kinds
from library.data.preprocessing._examples import Example, Operation, kept, positive, shown

SERIES = ("tokens", "audio", "series")


def pad_objects(
    num: int, drop: bool = False, only: tuple[str, ...] = (), kinds: Kinds = features.USUAL
) -> Operation:
    """Pads boxes and points to `num` objects per example and adds a mask for each feature.

    The feature `boxes`, (n, 4), becomes (num, 4), and `boxes_mask`, float32 (num,), is 1 for an
    object and 0 for padding. Features with one entry per object, such as `boxes_label`, are padded
    with zeros, too. Where an example has `boxes_mask` already, objects of mask 0 are removed first.

    Args:
      num: objects per example.
      drop: whether to drop the objects beyond `num`; otherwise they are an error.
      only: the features to pad; by default all boxes and points.
      kinds: the kinds of the features.

    Raises:
      ConfigError: a feature of `only` is unknown, or there are no boxes and points.
      ValueError: (the operation) an example has more than `num` objects, and `drop` is False; or a
        mask does not fit the objects.
    """
    names = _chosen("pad_objects", only, kinds, features.OBJECTS)
    return functools.partial(_pad_objects, num=positive(num), drop=drop, names=names, kinds=kinds)


def pad_series(
    length: int,
    crop: Literal["refuse", "start", "random"] = "refuse",
    only: tuple[str, ...] = (),
    kinds: Kinds = features.USUAL,
) -> Operation:
    """Pads tokens, audio and series with zeros to `length` steps along their first axis.

    The feature `audio`, (t, ...), becomes (length, ...), and `audio_mask`, float32 (length,), is 1
    for data and 0 for padding. Features of the same length are cropped at the same place. Where an
    example has `audio_mask` already, it is cropped and padded with the feature.

    Args:
      length: steps per example.
      crop: the treatment of longer features: "refuse" raises an error, "start" takes the first
        `length` steps, "random" takes `length` steps from a random place.
      only: the features to pad; by default all of these kinds.
      kinds: the kinds of the features.

    Raises:
      ConfigError: a feature of `only` is unknown, or there are no features of these kinds.
      ValueError: (the operation) a feature is longer than `length`, and `crop` is "refuse"; or a
        mask does not fit the feature.
    """
    check_choice("pad_series, crop", crop, ("refuse", "start", "random"))
    names = _chosen("pad_series", only, kinds, SERIES)
    return functools.partial(_pad_series, length=positive(length), crop=crop, names=names)


def _chosen(
    operation: str, only: tuple[str, ...], kinds: Kinds, wanted: tuple[str, ...]
) -> tuple[str, ...]:
    found = features.named(kinds, *wanted)
    for name in only:
        check_choice(f"feature of {operation}", name, found)
    if not found:
        held = ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
        raise ConfigError(f"{operation} pads {', '.join(wanted)}, but the examples have {held}")
    return tuple(only) or tuple(found)


def _pad_objects(example, rng, *, num, drop, names, kinds) -> Example:
    found = dict(example)
    for name in (name for name in names if name in example):
        there = _mask(example, name) > 0
        count = np.count_nonzero(there)
        if count > num and not drop:
            raise ValueError(
                f"{count} {name}, but pad_objects has num={num}: increase num, or drop the others "
                "with drop=True"
            )
        objects = (name, *features.companions(name, example, kinds))
        for each, values in kept(example, objects, there).items():
            found[each] = _filled(values[:num], num)
        found[f"{name}_mask"] = (np.arange(num) < count).astype(np.float32)
    return found


def _pad_series(example, rng, *, length, crop, names) -> Example:
    found, starts = dict(example), {}
    for name in (name for name in names if name in example):
        values = np.asarray(example[name])
        count = len(values)
        if count > length and crop == "refuse":
            raise ValueError(
                f"{name} has {count} steps, but pad_series has length={length}: increase length, "
                "or set crop to 'start' or 'random'"
            )
        if count > length and crop == "random" and count not in starts:
            starts[count] = int(rng.integers(count - length + 1))
        here = slice(starts.get(count, 0), starts.get(count, 0) + length)
        found[name] = _filled(values[here], length)
        found[f"{name}_mask"] = _filled(_mask(example, name)[here], length)
    return found


def _mask(example: Example, name: str) -> Float32[np.ndarray, " n"]:
    """Returns the mask of a feature, 1 everywhere where the example has none."""
    count = len(example[name])
    mask = np.asarray(example.get(f"{name}_mask", np.ones(count)), np.float32)
    if mask.shape != (count,):
        raise ValueError(f"{name}_mask is {shown(mask)}, expected ({count},) as {name} has")
    return mask


def _filled(values: np.ndarray, length: int) -> np.ndarray:
    widths = [(0, length - len(values)), *[(0, 0)] * (values.ndim - 1)]
    return np.pad(values, widths)
