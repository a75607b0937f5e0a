"""Words in the plane, near where their vectors are alike."""

import numpy as np
from jaxtyping import Array, PRNGKeyArray

from library import layouts
from library.config import ConfigError, check_choice
from library.evaluation.context import Context, Evaluator, collected
from library.evaluation.word_neighbours import unit
from library.task import Batch, TrainState


def word_map(
    context: Context,
    *,
    words: tuple[str, ...],
    output: str = "features",
    feature: str = "tokens",
    perplexity: float = 10.0,
    steps: int = 1000,
    seed: int = 0,
) -> Evaluator:
    """Lays out words in the plane by t-SNE of their vectors of length 1, for the report.

    Args:
      context: a context whose task has the output, and whose data have a vocabulary of words.
      words: the words.
      output: the output of the task, tokens (b, 1) -> vectors (b, 1, d).
      feature: the feature whose tokens the output reads.
      perplexity: see `library.layouts.t_sne`.
      steps: likewise.
      seed: likewise.

    Returns:
      `state -> {"layout", "layout_captions"}`: places (n, 2), and the words.

    Raises:
      ConfigError: the task has no such output, the data have no vocabulary, a word is not in it, or
        there are too few words for the perplexity.
    """
    check_choice("output of the task", output, context.task.outputs)
    if context.tokenizer is None:
        raise ConfigError("word_map needs data with a vocabulary, such as words")
    numbers = {name: i for i, name in enumerate(context.tokenizer.names)}
    for word in words:
        check_choice("word of word_map", word, numbers)
    if not 0 < perplexity < len(words):
        raise ConfigError(
            f"word_map, perplexity={perplexity}: valid are above 0 and below {len(words)}, the "
            "number of words"
        )

    def run(state: TrainState, batch: Batch, key: PRNGKeyArray) -> dict[str, Array]:
        vectors = context.task.outputs[output](state, batch, key)[:, 0]
        return {"vectors": vectors, "mask": batch["mask"]}

    function = context.collect(run)
    tokens = np.array([numbers[word] for word in words], np.int32)[:, None]

    def evaluate(state: TrainState) -> dict[str, np.ndarray]:
        batches = context.draws(len(words), None, {feature: tokens})
        vectors = unit(collected(function, state, batches)["vectors"])
        if len(vectors) < len(words):
            # The rehearsal of a run draws no words.
            return {"layout": np.zeros((0, 2)), "layout_captions": np.array([], "U1")}
        places = layouts.t_sne(vectors, perplexity=perplexity, steps=steps, seed=seed)
        return {"layout": places, "layout_captions": np.array(words)}

    return evaluate
