"""How often sentences name what tells the class of an image apart, and how often they are false."""

from typing import Any

import numpy as np

from library.config import ConfigError, nearest
from library.evaluation.context import Context, Evaluator, collected
from library.task import Batch, TrainState


def distinguishing_words(
    context: Context,
    *,
    telling: tuple[tuple[str, ...], ...],
    true: tuple[tuple[str, ...], ...],
    output: str = "caption",
    image: str = "image",
    split: str = "test",
    shown: int = 8,
) -> Evaluator:
    """Reads the sentences that a task writes about the images of a split.

    Args:
      context: the task, the data and functions to run over it.
      telling: for each class, words of which any tells it from similar classes.
      true: for each class, all words that are true of it, of those that any class has.
      output: the task's output with the tokens of sentences, such as "caption" or "drawn".
      image: the feature with the images.
      split: which part of the dataset.
      shown: number of images that the run keeps with their sentences.

    Returns:
      `state -> {"named", "false", "explained", "explained_captions"}`: the share of sentences that
      have a telling word of their image's class; the share that have a word which is true of other
      classes alone; and images with their sentences.

    Raises:
      ConfigError: the task has no such output, the data have no vocabulary, or the words are not
        those of all classes.
    """
    if output not in context.task.outputs or context.tokenizer is None:
        valid = nearest(output, context.task.outputs)
        raise ConfigError(
            f"distinguishing_words, output={output!r}: it needs an output with tokens, {valid}, "
            "and a vocabulary (preprocessing 'tokenize')"
        )
    for name, words in (("telling", telling), ("true", true)):
        if len(words) != context.num_classes:
            raise ConfigError(
                f"distinguishing_words, {name} has words of {len(words)} classes, and the data "
                f"have {context.num_classes}"
            )

    def run(state: TrainState, batch: Batch, key: Any) -> dict[str, Any]:
        words = context.task.outputs[output](state, batch, key)
        return {"words": words, **{name: batch[name] for name in (image, "label", "mask")}}

    function = context.collect(run)

    def evaluate(state: TrainState) -> dict[str, float | np.ndarray]:
        found = collected(function, state, context.batches(split, None), split)
        said = [context.tokenizer.decode(row) for row in found["words"]]
        named, false = counted(said, found["label"], telling, true)
        return {
            # The rehearsal of a run has no examples.
            "named": float(np.mean(named)) if said else np.nan,
            "false": float(np.mean(false)) if said else np.nan,
            "explained": context.pixels(found[image][:shown]),
            "explained_captions": np.array(said[:shown], str),
        }

    return evaluate


def counted(
    said: list[str],
    labels: np.ndarray,
    telling: tuple[tuple[str, ...], ...],
    true: tuple[tuple[str, ...], ...],
) -> tuple[list[bool], list[bool]]:
    """Returns whether each sentence has a telling word of its class, and whether it is false."""
    every = set().union(*true)
    words = [set(sentence.split()) for sentence in said]
    named = [bool(each & set(telling[label])) for each, label in zip(words, labels)]
    false = [bool(each & (every - set(true[label]))) for each, label in zip(words, labels)]
    return named, false
