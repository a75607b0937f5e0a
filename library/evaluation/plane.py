"""What a network decides at each point of a plane, drawn with the examples of a split."""

import jax
import numpy as np
from jaxtyping import Array, Float, UInt8

from library import painting
from library.config import ConfigError, check_choice
from library.evaluation.context import Context, Evaluator, collected
from library.task import Batch, TrainState


def plane(
    context: Context,
    *,
    feature: str = "features",
    output: str = "logits",
    split: str = "train",
    span: float = 1.2,
    size: int = 96,
    batch_size: int | None = None,
) -> Evaluator:
    """Draws the classes of a network of two inputs over the square [-span, span]^2.

    A point has the colour of its class, paler where the class is less sure, and examples have the
    full colour of their label. The run saves the picture of every evaluation, and the report shows
    them side by side.

    Args:
      context: the task, the data and functions to run over it.
      feature: the feature, (b, 2): to the right, and up.
      output: the task's output, (b, c) logits.
      split: the part of the dataset whose examples are drawn.
      span: end of the square.
      size: side of the picture, in pixels.
      batch_size: examples per batch; `dataset.eval_batch_size` by default.

    Returns:
      `state -> {"plane": uint8 (1, size, size, 3)}`; a rehearsal on shapes has no picture.

    Raises:
      ConfigError: the examples have no such feature, the task has no such output, or a number is
        out of range.
    """
    check_choice("output of plane", output, context.task.outputs)
    if context.features:
        check_choice("feature of plane", feature, context.features)
    if not 0 < span < float("inf") or size < 2:
        raise ConfigError(
            f"plane, span={span}, size={size}: valid are a span above 0, sizes from 2"
        )

    def decide(state: TrainState, batch: Batch, key: Array) -> dict[str, Array]:
        if batch[feature].shape[1:] != (2,):
            raise ConfigError(f"plane draws two numbers; {feature!r} is {batch[feature].shape[1:]}")
        logits = context.task.outputs[output](state, batch, key)
        return {"share": jax.nn.softmax(logits, axis=-1), "mask": batch["mask"]}

    def look(state: TrainState, batch: Batch, key: Array) -> dict[str, Array]:
        return {"x": batch[feature], "label": batch["label"], "mask": batch["mask"]}

    decided, looked = context.collect(decide), context.collect(look)
    grid = points(span, size)

    def evaluate(state: TrainState) -> dict[str, np.ndarray]:
        drawn = context.draws(len(grid), batch_size, {feature: grid})
        share = collected(decided, state, drawn)["share"]
        if not len(share):
            return {}
        share = share.reshape(size, size, -1)
        found = collected(looked, state, context.batches(split, batch_size), split)
        picture = _shaded(share)
        colours = painting.colours(share.shape[-1] + 1)[1:]
        for x, label in zip(found["x"], found["label"], strict=True):
            column, row = np.round((x * [1, -1] / span + 1) / 2 * (size - 1)).astype(int)
            if 0 <= row < size and 0 <= column < size:
                rows, columns = (slice(max(at - 1, 0), at + 2) for at in (row, column))
                picture[rows, columns] = colours[label]
        return {"plane": picture[None]}

    return evaluate


def points(span: float, size: int) -> Float[np.ndarray, "n 2"]:
    """Returns the points of a square picture row by row, the upper left corner first."""
    places = np.linspace(-span, span, size)
    y, x = np.meshgrid(places[::-1], places, indexing="ij")
    return np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32)


def _shaded(share: Float[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "h w 3"]:
    """Returns the colour of each point's class, between white and half of the full colour."""
    classes = share.shape[-1]
    sure = (share.max(-1, keepdims=True) - 1 / classes) / (1 - 1 / classes)
    full = painting.colours(classes + 1)[1:][share.argmax(-1)].astype(float)
    return np.round(255 + (0.15 + 0.4 * sure) * (full - 255)).astype(np.uint8)
