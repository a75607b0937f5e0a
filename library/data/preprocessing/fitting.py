"""Preprocessing that is fitted to the training split once, and then is a part of the run.

A factory here returns an operation with `fit(examples) -> plain values`, given the examples as the
operations before it leave them, and `fitted(values)`, the operation to use. The values are kept
with the run, and every later program reads them from there.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np

from library.config import ConfigError, check_choice
from library.data.preprocessing._examples import Example, Operation, feature

# A matrix of this many columns has a quarter of a million values, in a file of text.
MOST_COMPONENTS = 512


@dataclasses.dataclass(frozen=True)
class Standardizing:
    """Subtracts a mean and divides by a deviation, by component: the last axis of a feature."""

    key: str
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def fit(self, examples: Iterable[Example]) -> dict[str, Any]:
        """Returns mean and deviation; where nothing varies the deviation is 1."""
        count, mean, spread = _moments(examples, self.key, lambda x: np.square(x).sum(0))
        std = np.sqrt(spread / count)
        return {"mean": mean.tolist(), "std": np.where(std > 0, std, 1).tolist()}

    def fitted(self, values: Mapping[str, Any]) -> Operation:
        """Returns the operation with what was fitted."""
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
    """Makes components of variance 1 that do not covary; "zca" rotates them back."""

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
                f"whiten, key={self.key!r}: {len(mean)} components; at most {MOST_COMPONENTS}"
            )
        values, vectors = np.linalg.eigh(products / count)
        matrix = vectors / np.sqrt(np.maximum(values, 0) + self.epsilon)
        matrix = matrix @ vectors.T if self.kind == "zca" else matrix
        return {"mean": mean.tolist(), "matrix": matrix.tolist()}

    def fitted(self, values: Mapping[str, Any]) -> Operation:
        """Returns the operation with what was fitted."""
        matrix = tuple(map(tuple, values["matrix"]))
        return dataclasses.replace(self, mean=tuple(values["mean"]), matrix=matrix)

    def __call__(self, example: Example, rng: np.random.Generator) -> Example:
        """Whitens one example."""
        value = np.asarray(feature(example, self.key), np.float64)
        _check_width(self.key, value, len(self.mean))
        whitened = (np.atleast_1d(value) - np.array(self.mean)) @ np.array(self.matrix)
        return {**example, self.key: whitened.reshape(value.shape).astype(np.float32)}


def standardize(key: str) -> Operation:
    """Standardizes the feature `key`, (..., d), by the means and deviations of the training split.

    The statistics are of each of the d components, over examples and all other axes.
    """
    return Standardizing(key)


def whiten(key: str, kind: Literal["pca", "zca"] = "zca", epsilon: float = 1e-5) -> Operation:
    """Whitens the d components of the feature `key`, (..., d), by the training split's covariance.

    Args:
      key: the feature.
      kind: "zca" stays as near to the data as whitening can; "pca" gives principal components.
      epsilon: added to each variance.

    Raises:
      ConfigError: another kind, an epsilon below 0; and where it is fitted, more than 512
        components.
    """
    check_choice("kind of whiten", kind, ("pca", "zca"))
    if epsilon < 0:
        raise ConfigError(f"whiten, epsilon={epsilon}: valid are 0 or more")
    return Whitening(key, kind, epsilon)


def _moments(examples: Iterable[Example], key: str, second) -> tuple[int, np.ndarray, np.ndarray]:
    """Returns how many vectors there are, their mean, and the sums of `second` about it."""
    parts = [np.atleast_1d(np.asarray(feature(x, key), np.float64)) for x in examples]
    vectors = np.concatenate([part.reshape(-1, part.shape[-1]) for part in parts])
    mean = vectors.mean(0)
    return len(vectors), mean, second(vectors - mean)


def _check_width(key: str, value: np.ndarray, width: int) -> None:
    found = value.shape[-1] if value.ndim else 1
    if found != width:
        raise ValueError(f"{key} has {found} components, and was fitted to {width}")
