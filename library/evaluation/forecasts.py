"""Forecasts of some windows of a split, with their intervals, for the report to draw."""

import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from library.config import ConfigError, check_choice
from library.evaluation.context import Context, Evaluator, collected
from library.task import Batch, TrainState


def forecasts(
    context: Context,
    *,
    split: str = "test",
    num: int = 4,
    channel: int = 0,
    known: str = "series",
    batch_size: int | None = None,
) -> Evaluator:
    """Collects windows that lie evenly in a split, what came after them, and the quantiles of it.

    Args:
      context: a context whose task has the output "quantiles" (b, q, n), and whose batches have
        `target` (b, n).
      split: the split of windows.
      num: the most windows.
      channel: the channel of the series.
      known: the feature with the known steps, (b, t, d).
      batch_size: examples per batch; `dataset.eval_batch_size` by default.

    Returns:
      `state -> {"forecast" (num, 1 + q, t + s)}`, for s steps ahead: the series, then a row for
      each quantile, which is nan where the series is known.

    Raises:
      ConfigError: the task has no quantiles, the feature is missing, `num` is below 1, or when it
        is traced: there is no such channel.
    """
    check_choice("output of the task", "quantiles", context.task.outputs)
    check_choice("feature of forecasts", known, context.features)
    if num < 1:
        raise ConfigError(f"forecasts, num={num}: valid are 1 or more")

    def read(state: TrainState, batch: Batch, key: PRNGKeyArray) -> dict[str, Array]:
        channels = batch[known].shape[-1]
        if not 0 <= channel < channels:
            raise ConfigError(f"forecasts, channel={channel}: valid are 0 to {channels - 1}")
        quantiles = context.task.outputs["quantiles"](state, batch, key)
        return {
            "known": batch[known][..., channel],
            "target": batch["target"][:, channel::channels],
            "quantiles": quantiles[..., channel::channels],
            "mask": batch["mask"],
        }

    compiled = context.collect(read)

    def evaluate(state: TrainState) -> dict[str, np.ndarray]:
        found = collected(compiled, state, context.batches(split, batch_size), split)
        count = len(found["known"])
        rows = np.unique(np.linspace(0, max(count - 1, 0), min(num, count)).astype(int))
        return {"forecast": joined(*(found[k][rows] for k in ("known", "target", "quantiles")))}

    return evaluate


def joined(
    known: Float[np.ndarray, "m t"],
    target: Float[np.ndarray, "m s"],
    quantiles: Float[np.ndarray, "m q s"],
) -> Float[np.ndarray, "m r ts"]:
    """Returns the series and its quantiles, r = 1 + q rows of t + s steps for each window."""
    before = np.full((*quantiles.shape[:2], known.shape[1]), np.nan, quantiles.dtype)
    series = np.concatenate([known, target], axis=1)
    return np.concatenate([series[:, None], np.concatenate([before, quantiles], axis=2)], axis=1)
