"""Running averages of a state's params and batch statistics."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PyTree

from library import gradients
from library.config import ConfigError


class Average(NamedTuple):
    """Average of the params and batch statistics, exponential or over the last part of a run.

    Attributes:
      decay: share of the old average that each update keeps; None with `since`.
      every: steps between updates.
      warmup: whether to limit the decay to (1 + t) / (10 + t) after t updates, so that early
        averages forget the initial values (Abadi et al., TensorFlow's `num_updates`).
      since: a step, after which the average is the mean of the params of each update. With
        since=6000 and every=200 a run of 8,000 steps ends with the mean of ten checkpoints
        (Vaswani et al. 2017, section 6.1). Until then it is the params of the last update.
    """

    decay: float | None = None
    every: int = 1
    warmup: bool = False
    since: int | None = None


def check(average: Average) -> None:
    """Raises ConfigError if there is not one of decay and since, or a value is out of range."""
    if (average.decay is None) == (average.since is None):
        raise ConfigError(
            f"ema, decay={average.decay}, since={average.since}: valid is one of them: decay for "
            "an exponential average, since for the mean of the params after that step"
        )
    if average.since is not None and (average.since < 0 or average.warmup):
        raise ConfigError(
            f"ema, since={average.since}, warmup={average.warmup}: valid are 0 steps or more, "
            "without warmup"
        )
    if average.decay is not None and not 0 < average.decay < 1:
        raise ConfigError(f"ema, decay={average.decay}: valid decays are above 0 and below 1")
    if average.every < 1:
        raise ConfigError(f"ema, every={average.every}: valid are 1 step or more")


def part(params: PyTree, variables: Mapping[str, PyTree]) -> dict[str, PyTree]:
    """Returns what has averages: the params, and batch statistics if there are any."""
    statistics = {"batch_stats": variables["batch_stats"]} if "batch_stats" in variables else {}
    return {"params": params, **statistics}


def started(params: PyTree, variables: Mapping[str, PyTree]) -> dict[str, PyTree]:
    """Returns the averages of a new state: copies, in float32 at least."""
    return jax.tree.map(_wide_copy, part(params, variables))


def moved(
    average: Average | None,
    step: Int[Array, ""],
    ema: PyTree,
    params: PyTree,
    variables: Mapping[str, PyTree],
) -> PyTree:
    """Returns the averages after a step, or None without `average`.

    Args:
      average: the settings.
      step: the step's number, from 0.
      ema: the averages before the step.
      params: the params after the step.
      variables: the variables after the step.
    """
    if average is None:
        return None
    updates = step // average.every
    if average.since is not None:
        counted = (step + 1) // average.every - average.since // average.every
        decay = 1 - 1 / jnp.maximum(counted, 1).astype(jnp.float32)
    else:
        decay = jnp.float32(average.decay)
    if average.warmup:
        decay = jnp.minimum(decay, (1.0 + updates) / (10.0 + updates))
    due = (step + 1) % average.every == 0
    keep = jnp.where(due, decay, 1.0)
    new = part(params, variables)
    return jax.tree.map(lambda old, x: old + (1 - keep).astype(old.dtype) * (x - old), ema, new)


def _wide_copy(x: Array) -> Array:
    # In half precision the small share of the new value would be lost in rounding.
    floating = jnp.issubdtype(x.dtype, jnp.floating)
    return jnp.array(x, gradients.accumulation_dtype(x.dtype) if floating else x.dtype)
