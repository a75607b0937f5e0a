"""Sentences of a finished run about the images of a split."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from library import files, task
from library.apps import generation
from library.config import ConfigError
from library.evaluation.context import collected
from library.reporting import mosaic
from library.run.session import Trained


class Captions(NamedTuple):
    """Images and what a run says about them.

    Attributes:
      images: uint8 (n, h, w, c).
      texts: n sentences.
    """

    images: np.ndarray
    texts: list[str]


def captioned(trained: Trained, request: generation.Request, output: str, split: str) -> Captions:
    """Returns the first images of a split with their sentences.

    Args:
      trained: the run, of a task that describes `inputs[0]`.
      request: the number of images, and other settings.
      output: the task's output with the tokens of sentences.
      split: which part of the dataset.

    Raises:
      ConfigError: the run has no vocabulary.
    """
    context, image = trained.feed.context(seed=request.seed), trained.plan.recipe.task["inputs"][0]
    if context.tokenizer is None:
        raise ConfigError(f"output {output!r} needs a run whose preprocessing has 'tokenize'")

    def run(state: Any, batch: Any, key: Any) -> dict[str, Any]:
        words = trained.plan.task.outputs[output](state, batch, key)
        return {"words": words, "image": batch[image], "mask": batch["mask"]}

    size = generation.batch_size(trained, request)
    state = task.learnt(trained.state, averages=request.ema)
    batches = first(context.batches(split, size), request.num)
    found = collected(context.collect(run), state, batches, split)
    texts = [context.tokenizer.decode(row) for row in found["words"][: request.num]]
    return Captions(context.pixels(found["image"][: request.num]), texts)


def first(batches: Any, num: int) -> Iterator[Any]:
    """Yields batches until they hold `num` examples."""
    count = 0
    for batch in batches:
        yield batch
        count += len(batch["index"])
        if count >= num:
            return


def write(made: Captions, folder: Path, name: str) -> list[Path]:
    """Writes NAME.txt, a sentence a line, and NAME.png, the images in the same order.

    Only the first of several processes writes.
    """
    paths = [folder / f"{name}.txt", folder / f"{name}.png"]
    if not jax.process_index():
        folder.mkdir(exist_ok=True)
        files.write(paths[0], "\n".join(made.texts) + "\n")
        mosaic.save(made.images, paths[1])
    return paths
