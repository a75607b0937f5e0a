"""Weights for the loss of maps: of classes, fitted to the training split, and of pixels."""

import dataclasses
import functools
import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32, Int
from scipy import ndimage

from library import maps
from library.config import ConfigError, check_choice
from library.data import features
from library.data.preprocessing._examples import Example, Operation, feature, positive

RULES = ("median_frequency", "balanced", "log")
# Distances beyond so many standard deviations count as none: their weight is below 2e-8 w0.
_FAR = 6.0


@dataclasses.dataclass(frozen=True)
class ClassWeighting:
    """Adds the weights of the classes of a map to each example."""

    key: str
    num_classes: int
    rule: str
    ignore: int
    weights: tuple[float, ...] | None = None
    # Images may stay pictures of PIL: it reads the map alone.
    takes_pictures = True

    @property
    def makes(self) -> dict[str, str]:
        """The kind of the feature that it adds."""
        return {f"{self.key}_class_weights": "array"}

    def fit(self, examples: Iterable[Example]) -> dict[str, Any]:
        """Returns the weights by the pixels of each class."""
        pixels, beside = np.zeros(self.num_classes), np.zeros(self.num_classes)
        for example in examples:
            counts = _counted(feature(example, self.key), self)
            pixels += counts
            beside += np.where(counts > 0, counts.sum(), 0)
        return {"weights": _weights(pixels, beside, self.rule).tolist()}

    def fitted(self, values: Mapping[str, Any]) -> Operation:
        """Returns the operation with the fitted values."""
        return dataclasses.replace(self, weights=tuple(values["weights"]))

    def __call__(self, example: Example, rng: np.random.Generator) -> Example:
        """Adds the weights to one example."""
        return {**example, f"{self.key}_class_weights": np.asarray(self.weights, np.float32)}


def class_weights(
    num_classes: int,
    rule: Literal["median_frequency", "balanced", "log"] = "median_frequency",
    key: str = "map",
    ignore: int = maps.UNKNOWN,
) -> Operation:
    """Adds the feature KEY_class_weights, float32 (num_classes,), the same for all examples.

    The task `segmentation` reads it with `class_weights="map_class_weights"`. Pixels are counted in
    the training split. A class without pixels has weight 0.

    Args:
      num_classes: number of classes of the map.
      rule: "median_frequency": a class's frequency is its share of the pixels of the images that
        have it, and its weight the median of the frequencies divided by its own (Eigen & Fergus
        2015, arXiv 1411.4734, section 3.3). "balanced": weights by which all classes that occur
        weigh the same, 1 on average over pixels. "log": 1 / ln(1.02 + p), p being the share of all
        pixels (Paszke et al. 2016, arXiv 1606.02147, section 5.2).
      key: the map.
      ignore: the value of pixels that do not count.

    Raises:
      ConfigError: the rule is unknown. When it is fitted: a pixel is of no class.
    """
    check_choice("rule of class_weights", rule, RULES)
    return ClassWeighting(key, positive(num_classes), rule, ignore)


def border_weights(
    w0: float = 10.0,
    sigma: float = 5.0,
    cell: int = 1,
    balance: tuple[float, ...] | None = None,
    key: str = "map",
) -> Operation:
    """Adds the field KEY_weights (h, w): U-Net's weights, which are high between near cells.

    Ronneberger et al. 2015 (arXiv 1505.04597), equation 2: w_c + w0 exp(-(d1 + d2)² / (2 sigma²)),
    where d1 and d2 are a pixel's distances to the nearest and to the second nearest cell. A cell is
    a connected region of the class `cell`; the second term is for pixels outside cells. The task
    `segmentation` reads the field with `weight="map_weights"`.

    Args:
      w0: weight between cells that touch.
      sigma: distance at which it falls, in pixels.
      cell: the class of cells.
      balance: w_c, one for each class; 1 by default. Pixels of no class have weight 1.
      key: the map.

    Raises:
      ConfigError: w0 is negative, or sigma is not above 0. (The operation) a pixel is of a class
        for which `balance` has no weight.
    """
    if w0 < 0 or sigma <= 0:
        raise ConfigError(f"border_weights, w0={w0}, sigma={sigma}: valid are w0 >= 0, sigma > 0")
    settings = dict(w0=w0, sigma=sigma, cell=cell, balance=balance, key=key)
    operation = functools.partial(_border_weights, **settings)
    return features.making(operation, **{f"{key}_weights": "field"})


def _border_weights(example, rng, *, w0, sigma, cell, balance, key) -> Example:
    classes = np.asarray(feature(example, key))
    weights = np.ones(classes.shape, np.float32)
    highest = int(np.max(classes, where=classes != maps.UNKNOWN, initial=0))
    if balance is not None and highest >= len(balance):
        raise ConfigError(
            f"border_weights, balance={list(balance)}: a {key} has a pixel of class {highest}; "
            f"write a weight for each class, {highest + 1} or more"
        )
    for number, weight in enumerate(balance or ()):
        weights[classes == number] = weight
    nearest, second = _two_distances(classes == cell, math.ceil(_FAR * sigma))
    # exp(-inf) is 0: a pixel without two cells near it.
    between = np.exp(-np.square(nearest + second) / (2 * sigma**2))
    weights += np.where(classes == cell, 0, w0 * between).astype(np.float32)
    return {**example, f"{key}_weights": weights}


_border_weights.takes_pictures = True


def _two_distances(
    inside: np.ndarray, far: int
) -> tuple[Float32[np.ndarray, "h w"], Float32[np.ndarray, "h w"]]:
    """Returns each pixel's distances to the nearest two regions, inf for more than `far`."""
    regions, _ = ndimage.label(inside)
    nearest = np.full(inside.shape, np.inf, np.float32)
    second = nearest.copy()
    for number, place in enumerate(ndimage.find_objects(regions), 1):
        around = tuple(slice(max(s.start - far, 0), s.stop + far) for s in place)
        away = ndimage.distance_transform_edt(regions[around] != number).astype(np.float32)
        away[away > far] = np.inf
        second[around] = np.minimum(second[around], np.maximum(nearest[around], away))
        nearest[around] = np.minimum(nearest[around], away)
    return nearest, second


def _counted(classes: Any, operation: ClassWeighting) -> Int[np.ndarray, " c"]:
    """Returns the number of pixels of each class."""
    classes = np.asarray(classes)
    known = classes[classes != operation.ignore]
    outside = known[(known < 0) | (known >= operation.num_classes)]
    if len(outside):
        raise ConfigError(
            f"class_weights, num_classes={operation.num_classes}: a {operation.key} has a pixel of "
            f"class {int(outside[0])}; valid are 0 to {operation.num_classes - 1}, and "
            f"ignore={operation.ignore}"
        )
    return np.bincount(known.astype(np.int64), minlength=operation.num_classes)


def _weights(pixels: np.ndarray, beside: np.ndarray, rule: str) -> np.ndarray:
    """Returns the weights of classes.

    Args:
      pixels: the pixels of each class.
      beside: the known pixels of all images that have a pixel of the class.
      rule: see `class_weights`.
    """
    occurs = pixels > 0
    if not occurs.any():
        raise ConfigError("class_weights: the training maps have no pixel of a known class")
    share = pixels / pixels.sum()
    if rule == "log":
        return np.where(occurs, 1 / np.log(1.02 + share), 0)
    frequency = np.where(occurs, pixels / np.maximum(beside, 1), 1)
    if rule == "balanced":
        return np.where(occurs, 1 / np.where(occurs, share, 1) / occurs.sum(), 0)
    return np.where(occurs, np.median(frequency[occurs]) / frequency, 0)
