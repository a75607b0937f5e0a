"""Which words are near each other by their vectors, and how many analogies hold."""

import itertools
from collections.abc import Iterable, Sequence

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
    relations: dict | None = None,
    count: int = 5,
    output: str = "features",
    feature: str = "tokens",
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
      relations: more analogies, by the name of a relation: pairs such as "man king", each of which
        makes an analogy with every other pair of its relation, as in the test of Mikolov et al.
        2013 (arXiv 1301.3781).
      count: neighbours of each word.
      output: the output of the task, tokens (b, 1) -> vectors (b, 1, d).
      feature: the feature whose tokens the output reads.
      batch_size: words per batch; `dataset.eval_batch_size` by default.

    Returns:
      `state -> {"neighbours", "analogies", "analogies_NAME"}`: strings, a line for each word; and,
      where analogies are given, the share that holds, of all and of each relation.

    Raises:
      ConfigError: the task has no such output, the data have no vocabulary, a word is not in it, an
        analogy has not four words, a relation has not two pairs of two words, or `count` is
        below 1.
    """
    check_choice("output of the task", output, context.task.outputs)
    if context.tokenizer is None:
        raise ConfigError("word_neighbours needs data with a vocabulary: set dataset.tokenizer")
    if count < 1:
        raise ConfigError(f"word_neighbours, count={count}: valid are 1 and more")
    names = context.tokenizer.names
    asked = np.array([_place(names, each) for each in words or names[1:9]])
    parts = {"": _fours(analogies)}
    parts |= {f"_{name}": _fours(_made_of(name, x)) for name, x in (relations or {}).items()}
    fours = [four for part in parts.values() for four in part]
    places = np.array([[_place(names, each) for each in four] for four in fours], int)
    places = places.reshape(-1, 4)
    ends = np.cumsum([len(part) for part in parts.values()])

    def run(state: TrainState, batch: Batch, key: PRNGKeyArray) -> dict[str, Array]:
        vectors = context.task.outputs[output](state, batch, key)[:, 0]
        return {"vectors": vectors, "mask": batch["mask"]}

    function, tokens = context.collect(run), np.arange(len(names), dtype=np.int32)[:, None]

    def rated(holds: np.ndarray) -> dict[str, float]:
        shares = dict(zip(parts, map(_mean, np.split(holds, ends[:-1]))))
        found = {f"analogies{name}": share for name, share in shares.items() if name}
        return {"analogies": _mean(holds), **found} if len(places) else {}

    def evaluate(state: TrainState) -> dict[str, float | np.ndarray]:
        batches = context.draws(len(names), batch_size, {feature: tokens})
        vectors = unit(collected(function, state, batches)["vectors"])
        if len(vectors) < len(names):
            # The rehearsal of a run draws no words.
            return {"neighbours": np.array([""]), **rated(np.full(len(places), np.nan))}
        scores = vectors[asked] @ vectors.T
        scores[np.arange(len(asked)), asked] = -np.inf
        nearest = np.argsort(-scores, axis=1, kind="stable")[:, :count]
        lines = [
            f"{names[i]}: {', '.join(names[j] for j in row)}" for i, row in zip(asked, nearest)
        ]
        holds = [holding(vectors, part) for part in np.split(places, range(256, len(places), 256))]
        return {"neighbours": np.array(lines), **rated(np.concatenate(holds))}

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


def _fours(analogies: Iterable[str]) -> list[list[str]]:
    fours = [each.split() for each in analogies]
    for each in fours:
        if len(each) != 4:
            raise ConfigError(f"analogy {' '.join(each)!r}: valid are four words, 'a b c d'")
    return fours


def _made_of(name: str, pairs: Sequence[str]) -> list[str]:
    """Returns the analogies of the pairs of a relation: every pair with every other."""
    wrong = [pair for pair in pairs if len(str(pair).split()) != 2]
    if wrong or len(pairs) < 2:
        raise ConfigError(
            f"relation {name!r}: {wrong[0] if wrong else list(pairs)!r}: valid are two pairs or "
            "more of two words, such as 'man king'"
        )
    return [f"{one} {other}" for one, other in itertools.permutations(pairs, 2)]


def _mean(holds: np.ndarray) -> float:
    return float(np.mean(holds)) if len(holds) else np.nan


def _place(names: tuple[str, ...], word: str) -> int:
    if word not in names:
        raise ConfigError(f"word_neighbours: {word!r} is not among the {len(names)} known words")
    return names.index(word)
