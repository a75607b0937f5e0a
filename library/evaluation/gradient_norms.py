"""How far back a model of series learns: the gradient of its loss by the distance of a step.

Gradients that vanish or explode with the distance are from Bengio, Simard & Frasconi 1994,
"Learning long-term dependencies with gradient descent is difficult".
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from library.config import check_choice
from library.evaluation.context import Context, Evaluator
from library.evaluation.totals import total
from library.task import Batch, Metrics, TrainState, pair


def gradient_norms(context: Context, *, feature: str = "series", split: str = "test") -> Evaluator:
    """Measures the norm of the gradient of an example's loss by each step of its series.

    Steps are numbered from the last that exists: distance 0 is the last step of each series, and
    not the padding behind it. Compare the curves of runs that differ in their cells only.

    Args:
      context: the task, the data and functions to run over it.
      feature: the series (b, t, ...), whose mask, if there is one, is `{feature}_mask`.
      split: the part of the dataset.

    Returns:
      `state -> {"gradient_norm", "farthest", "nearest"}`: the mean norm by distance (t,), over the
      series that are so long, NaN where there is none; and the mean of the farthest and of the
      nearest tenth of the distances.

    Raises:
      ConfigError: the examples have no such feature.
    """
    if context.features:
        check_choice("feature of gradient_norms", feature, context.features)

    def norms(state: TrainState, batch: Batch, key: Array) -> Metrics:
        def loss(series: Array) -> Array:
            return context.task.evaluate(state, {**batch, feature: series}, key)["loss"][0]

        series = batch[feature]
        slopes = jax.grad(loss)(series).reshape(*series.shape[:2], -1)
        there = batch.get(f"{feature}_mask", jnp.ones(series.shape[:2]))
        norm = jnp.where(there > 0, jnp.linalg.norm(slopes, axis=-1), 0)
        behind = jnp.sum(jnp.cumprod((there[:, ::-1] == 0).astype(jnp.int32), axis=1), axis=1)
        norm, there = (jax.vmap(jnp.roll)(x[:, ::-1], -behind) for x in (norm, there))
        return {"norm": pair(norm, batch["mask"]), "there": pair(there, batch["mask"])}

    measured = context.measure(norms)

    def evaluate(state: TrainState) -> dict[str, float | np.ndarray]:
        sums = total(measured, state, context.batches(split, None), split)
        summed, count = (np.asarray(sums[name][0], np.float64) for name in ("norm", "there"))
        mean = np.where(count > 0, summed / np.maximum(count, 1), np.nan)
        held = mean[count > 0] if count.any() else np.array([np.nan])
        tenth = max(len(held) // 10, 1)
        ends = {"farthest": float(held[-tenth:].mean()), "nearest": float(held[:tenth].mean())}
        return {"gradient_norm": mean.astype(np.float32), **ends}

    return evaluate
