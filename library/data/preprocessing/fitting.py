"""Preprocessing that is fitted once to the training split.

A factory here returns an operation with `fit(examples) -> plain values`, whose examples are the
output of the operations before it, and `fitted(values)`, which returns the operation to use. The
run saves the values, and every later program reads them from the run.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np

from library.config import ConfigError, check_choice
from library.data.preprocessing._examples import Example, Operation, feature

# A square matrix of this width has a quarter of a million values, which go to a text file.
MOST_COMPONENTS = 512


@dataclasses.dataclass(frozen=True)
class Standardizing:
    """Standardizes each component of a feature, along its last axis: (x - mean) / std."""

    key: str
    missing: bool = False
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def fit(self, examples: Iterable[Example]) -> dict[str, Any]:
        """Returns the mean and standard deviation, which is 1 for a constant component."""
        vectors, average = _vectors(examples, self.key), np.nanmean if self.missing else np.mean
        mean = average(vectors, axis=0)
        std = np.sqrt(average(np.square(vectors - mean), axis=0))
        return {"mean": mean.tolist(), "std": np.where(std > 0, std, 1).tolist()}

    def fitted(self, values: Mapping[str, Any]) -> Operation:
        """Returns the operation with the fitted values."""
        return dataclasses.replace(self, mean=tuple(values["mean"]), std=tuple(values["std"]))

    def __call__(self, example: Example, rng: np.random.Generator) -> Example:
        """Standardizes one example."""
        value = np.asarray(feature(example, self.key), np.float64)
        _check_width(self.key, value, len(self.mean))
        scaled = (value - np.reshape(self.mean, value.shape[-1:])) / np.reshape(
            self.std, value.shape[-1:]
        )
        return {**example, self.key: scaled.astype(np.float32)}


@dataclasses.dataclass(frozen=True)
class Whitening:
    """Makes the components of a feature uncorrelated, with variance 1; "zca" rotates them back."""

    key: str
    kind: str
    epsilon: float
    mean: tuple[float, ...] | None = None
    matrix: tuple[tuple[float, ...], ...] | None = None

    def fit(self, examples: Iterable[Example]) -> dict[str, Any]:
        """Returns the mean and the matrix."""
        count, mean, products = _moments(examples, self.key, lambda x: x.T @ x)
        if len(mean) > MOST_COMPONENTS:
            raise ConfigError(
                f"whiten, key={self.key!r}: the feature has {len(mean)} components, and "
                f"{MOST_COMPONENTS} is the limit"
            )
        values, vectors = np.linalg.eigh(products / count)
        matrix = vectors / np.sqrt(np.maximum(values, 0) + self.epsilon)
        matrix = matrix @ vectors.T if self.kind == "zca" else matrix
        return {"mean": mean.tolist(), "matrix": matrix.tolist()}

    def fitted(self, values: Mapping[str, Any]) -> Operation:
        """Returns the operation with the fitted values."""
        matrix = tuple(map(tuple, values["matrix"]))
        return dataclasses.replace(self, mean=tuple(values["mean"]), matrix=matrix)

    def __call__(self, example: Example, rng: np.random.Generator) -> Example:
        """Whitens one example."""
        value = np.asarray(feature(example, self.key), np.float64)
        _check_width(self.key, value, len(self.mean))
        whitened = (np.atleast_1d(value) - np.array(self.mean)) @ np.array(self.matrix)
        return {**example, self.key: whitened.reshape(value.shape).astype(np.float32)}


def standardize(key: str, missing: bool = False) -> Operation:
    """Standardizes the feature `key`, (..., d), by the mean and deviation of the training split.

    Each of the d components has its own statistics, over examples and all other axes.

    Args:
      key: the feature.
      missing: whether values may be missing. They are NaN, count for no statistic, and stay NaN.
        Otherwise NaN is refused.
    """
    return Standardizing(key, missing)


def whiten(key: str, kind: Literal["pca", "zca"] = "zca", epsilon: float = 1e-5) -> Operation:
    """Whitens the d components of the feature `key`, (..., d), by the training split's covariance.

    Args:
      key: the feature.
      kind: "zca" stays as close to the data as whitening can; "pca" gives principal components.
      epsilon: a number of 0 or more that is added to each variance.

    Raises:
      ConfigError: the kind is unknown or epsilon is below 0. When it is fitted: the feature has
        more than 512 components.
    """
    check_choice("kind of whiten", kind, ("pca", "zca"))
    if epsilon < 0:
        raise ConfigError(f"whiten, epsilon={epsilon}: valid are 0 or more")
    return Whitening(key, kind, epsilon)


def _moments(examples: Iterable[Example], key: str, second) -> tuple[int, np.ndarray, np.ndarray]:
    """Returns the number of vectors, their mean, and `second` of their deviations from it."""
    vectors = _vectors(examples, key)
    mean = vectors.mean(0)
    return len(vectors), mean, second(vectors - mean)


def _vectors(examples: Iterable[Example], key: str) -> np.ndarray:
    parts = [np.atleast_1d(np.asarray(feature(x, key), np.float64)) for x in examples]
    return np.concatenate([part.reshape(-1, part.shape[-1]) for part in parts])


def _check_width(key: str, value: np.ndarray, width: int) -> None:
    found = value.shape[-1] if value.ndim else 1
    if found != width:
        raise ValueError(
            f"{key} has {found} components, but its preprocessing was fitted to {width}"
        )
