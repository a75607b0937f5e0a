"""How a step moves the params: histograms of params and updates, and the ratio of their norms."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Float, PyTree

from library import trees

BINS = 64


class Histogram(NamedTuple):
    """The distribution of an array's values.

    Attributes:
      counts: number of values in each bin, (bins,).
      edges: the bounds of the bins, (bins + 1,), from the least to the greatest value. The bins of
        a constant array have a width of 1 together.
      total: sum of the values.
      squares: sum of their squares.
    """

    counts: np.ndarray
    edges: np.ndarray
    total: np.ndarray
    squares: np.ndarray


class ParameterUpdates(NamedTuple):
    """The params after a step and what the step added to them, by path."""

    params: Mapping[str, Histogram]
    updates: Mapping[str, Histogram]

    def ratio(self) -> float | None:
        """Returns the norm of all updates over that of all params; None if all params are 0."""
        there, moved = (sum(float(each.squares) for each in part.values()) for part in self)
        return (moved / there) ** 0.5 if there > 0 else None


class UpdateMonitor:
    """Measures the last step of each interval; without an interval it does nothing."""

    def __init__(self, every: int | None):
        """Stores the interval, in steps."""
        self.every = every
        self._before: PyTree | None = None

    @property
    def alone(self) -> tuple[int, ...]:
        """The intervals whose last step needs a call of its own, see `calls.ends`."""
        return () if self.every is None else (self.every,)

    def before(self, step: int, params: PyTree) -> None:
        """Copies the params, whose memory the step takes, if the step is to be measured."""
        if self.every and step % self.every == 0:
            self._before = jax.tree.map(jnp.copy, params)

    @property
    def due(self) -> bool:
        """Whether the last step is to be measured.

        A start that repeats the work due at its first step has no params from before that step, and
        measures nothing.
        """
        return self._before is not None

    def after(self, params: PyTree) -> ParameterUpdates:
        """Returns how the last step, which is due, has moved the params; all processes call it."""
        before, self._before = self._before, None
        return measured(before, params)


def measured(before: PyTree, after: PyTree) -> ParameterUpdates:
    """Returns how params have moved, from those before a step and those after it."""
    pairs = [
        (path, old, new)
        for (path, old), new in zip(trees.flatten(before).items(), jax.tree.leaves(after))
        if old.size
    ]
    names, olds, news = zip(*pairs)
    found = jax.jit(_histograms, out_shardings=_everywhere(news[0]))(olds, news)
    return ParameterUpdates(*(dict(zip(names, part)) for part in jax.device_get(found)))


def _histograms(
    olds: tuple[jax.Array, ...], news: tuple[jax.Array, ...]
) -> tuple[list[Histogram], list[Histogram]]:
    updates = [_histogram(_floats(new) - _floats(old)) for old, new in zip(olds, news)]
    return [_histogram(_floats(new)) for new in news], updates


def _histogram(values: Float[jax.Array, " n"]) -> Histogram:
    low, high = values.min(), values.max()
    width = jnp.where(high > low, high - low, 1)
    places = jnp.clip((values - low) / width * BINS, 0, BINS - 1).astype(jnp.int32)
    # Sums of ones in float32 would end at 2^24.
    counts = jnp.zeros(BINS, jnp.int32).at[places].add(1)
    edges = low + width * jnp.arange(BINS + 1, dtype=jnp.float32) / BINS
    return Histogram(counts, edges, values.sum(), jnp.square(values).sum())


def _floats(x: jax.Array) -> Float[jax.Array, " n"]:
    """Returns all values in float32; a complex number counts as two."""
    parts = jnp.stack([x.real, x.imag]) if jnp.iscomplexobj(x) else x
    return parts.astype(jnp.float32).ravel()


def _everywhere(leaf: jax.Array) -> NamedSharding | None:
    """Returns the sharding of arrays that every process can read; None leaves it to JAX."""
    mesh = getattr(leaf.sharding, "mesh", None)
    return None if mesh is None else NamedSharding(mesh, PartitionSpec())
