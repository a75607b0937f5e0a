"""What a system makes, to look at while it learns: images or text, the same places each time."""

import numpy as np

from library.config import ConfigError, nearest
from library.evaluation.context import Context, Evaluator, collected
from library.task import TrainState


def samples(
    context: Context,
    *,
    output: str = "sample",
    num: int = 64,
    split: str | None = None,
    batch_size: int | None = None,
) -> Evaluator:
    """Collects images that the task makes.

    The loop keeps them for every evaluation, and the report shows them side by side.

    Args:
      context: the task, the data and ways to run functions over it.
      output: one of the task's, which returns images (b, h, w, c), or rows (b, k, h, w, c).
      num: images, or rows.
      split: where the output takes its examples from, such as reconstructions; None for outputs
        that need none.
      batch_size: examples a batch, by default that of evaluation.

    Returns:
      `state -> {output: uint8 images}`. Nothing random changes between evaluations.

    Raises:
      ConfigError: there is no such output, it makes no images, or it needs a split.
    """
    make = context.task.outputs.get(output)
    if make is None:
        valid = nearest(output, context.task.outputs)
        raise ConfigError(f"samples, output={output!r}: the task has no such output, {valid}")
    if num < 1:
        raise ConfigError(f"samples, num={num}: valid are 1 or more")

    def run(state, batch, key):
        try:
            return {"image": make(state, batch, key), "mask": batch["mask"]}
        except KeyError as missing:
            raise ConfigError(
                f"samples, output={output!r} reads {missing} of examples: give it a split"
            ) from missing

    function = context.collect(run)

    def batches():
        if split is None:
            yield from context.draws(num, batch_size)
            return
        count = 0
        for batch in context.batches(split, batch_size):
            yield batch
            count += len(batch["index"])
            if count >= num:
                return

    def evaluate(state: TrainState) -> dict[str, np.ndarray]:
        image = collected(function, state, batches())["image"][:num]
        if image.ndim not in (4, 5):
            raise ConfigError(f"samples, output={output!r} is no image: its shape is {image.shape}")
        return {output: context.pixels(image)}

    return evaluate
