"""Which words are near each other by their vectors, and how many analogies hold."""

import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from library.config import ConfigError, check_choice
from library.evaluation.context import Context, Evaluator, collected
from library.task import Batch, TrainState


def word_neighbours(
    context: Context,
    *,
    words: tuple[str, ...] = (),
    analogies: tuple[str, ...] = (),
    count: int = 5,
    output: str = "features",
    batch_size: int | None = None,
) -> Evaluator:
    """Lists the nearest words of some words, and counts how many analogies hold.

    Nearness is the cosine of the angle between two vectors. An analogy "a b c d", as "man king
    woman queen", holds if of all words but a, b and c the nearest to b - a + c, each of length 1,
    is d (Mikolov, Yih & Zweig 2013, "Linguistic regularities in continuous space word
    representations").

    Args:
      context: a context whose task has the output, and whose data have a vocabulary of words.
      words: the words, by default the most frequent ones.
      analogies: each of four words.
      count: neighbours of each word.
      output: the output of the task, tokens (b, 1) -> vectors (b, 1, d).
      batch_size: words per batch; `dataset.eval_batch_size` by default.

    Returns:
      `state -> {"neighbours", "analogies"}`: strings, a line for each word; and, where analogies
      are given, the share that holds.

    Raises:
      ConfigError: the task has no such output, the data have no vocabulary, a word is not in it, an
        analogy has not four words, or `count` is below 1.
    """
    check_choice("output of the task", output, context.task.outputs)
    if context.tokenizer is None:
        raise ConfigError("word_neighbours needs data with a vocabulary: set dataset.tokenizer")
    if count < 1:
        raise ConfigError(f"word_neighbours, count={count}: valid are 1 and more")
    names = context.tokenizer.names
    asked = np.array([_place(names, each) for each in words or names[1:9]])
    fours = [each.split() for each in analogies]
    for each in fours:
        if len(each) != 4:
            raise ConfigError(f"analogy {' '.join(each)!r}: valid are four words, 'a b c d'")
    places = np.array([[_place(names, each) for each in four] for four in fours], int)

    def run(state: TrainState, batch: Batch, key: PRNGKeyArray) -> dict[str, Array]:
        vectors = context.task.outputs[output](state, batch, key)[:, 0]
        return {"vectors": vectors, "mask": batch["mask"]}

    function, tokens = context.collect(run), np.arange(len(names), dtype=np.int32)[:, None]

    def evaluate(state: TrainState) -> dict[str, float | np.ndarray]:
        batches = context.draws(len(names), batch_size, {"tokens": tokens})
        vectors = unit(collected(function, state, batches)["vectors"])
        if len(vectors) < len(names):
            # The rehearsal of a run draws no words.
            rated = {"analogies": np.nan} if len(places) else {}
            return {"neighbours": np.array([""]), **rated}
        scores = vectors[asked] @ vectors.T
        scores[np.arange(len(asked)), asked] = -np.inf
        nearest = np.argsort(-scores, axis=1, kind="stable")[:, :count]
        lines = [
            f"{names[i]}: {', '.join(names[j] for j in row)}" for i, row in zip(asked, nearest)
        ]
        found: dict[str, float | np.ndarray] = {"neighbours": np.array(lines)}
        if len(places):
            found["analogies"] = float(holding(vectors, places).mean())
        return found

    return evaluate


def unit(vectors: Float[np.ndarray, "v d"]) -> Float[np.ndarray, "v d"]:
    """Returns vectors of length 1; zeros stay."""
    vectors = np.asarray(vectors, np.float64)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def holding(vectors: Float[np.ndarray, "v d"], places: Int[np.ndarray, "n 4"]) -> np.ndarray:
    """Returns whether each analogy of words a, b, c and d holds, (n,).

    Args:
      vectors: a vector of length 1 for each word.
      places: the words of each analogy.
    """
    a, b, c, d = places.T
    scores = (vectors[b] - vectors[a] + vectors[c]) @ vectors.T
    for each in (a, b, c):
        scores[np.arange(len(places)), each] = -np.inf
    return np.argmax(scores, axis=1) == d


def _place(names: tuple[str, ...], word: str) -> int:
    if word not in names:
        raise ConfigError(f"word_neighbours: {word!r} is not among the {len(names)} known words")
    return names.index(word)
