"""Non-maximum suppression on the device, with fixed shapes: of boxes that overlap one is kept."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from library.object_detection.boxes import overlaps


def suppressed(
    boxes: Float[Array, "m 4"],
    scores: Float[Array, "m k"],
    *,
    num: int,
    least: float,
    overlap: float,
    class_wise: bool = True,
    candidates: int = 1000,
) -> Float[Array, "{num} 6"]:
    """Returns the detections of an image, in descending order of confidence.

    Each box with each class is a candidate. From the surest on, a candidate is kept unless it
    overlaps one that is kept. Equal scores keep the order of the boxes, then of the classes.

    Args:
      boxes: boxes, as fractions of the image.
      scores: the score of each box for each class.
      num: the most detections; those with less confidence are dropped.
      least: the least score of a detection, above 0.
      overlap: intersection over union above which the one with less confidence is dropped.
      class_wise: whether only boxes of the same class suppress each other.
      candidates: the most candidates that are compared, those with the highest scores.

    Returns:
      ymin, xmin, ymax, xmax, confidence and class of each detection. All are 0 where there is none.
    """
    count = min(candidates, scores.size)
    sure, place = jax.lax.top_k(scores.ravel(), count)
    chosen, classes = boxes[place // scores.shape[1]], place % scores.shape[1]
    shared = overlaps(chosen, chosen) > overlap
    if class_wise:
        shared &= classes[:, None] == classes
    before = jnp.arange(count)

    def keep(i: Int[Array, ""], kept: Array) -> Array:
        return kept.at[i].set(kept[i] & ~jnp.any(shared[i] & kept & (before < i)))

    kept = jax.lax.fori_loop(0, count, keep, sure >= least)
    sure, order = jax.lax.top_k(jnp.where(kept, sure, 0), min(num, count))
    rows = jnp.concatenate(
        [chosen[order], sure[:, None], classes[order, None].astype(jnp.float32)], axis=-1
    )
    rows = jnp.where(sure[:, None] > 0, rows, 0)
    return jnp.pad(rows, ((0, num - len(rows)), (0, 0)))
