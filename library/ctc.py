"""Connectionist temporal classification: reading labels from frames, and errors of what is read.

Graves, Fernandez, Gomez & Schmidhuber 2006, "Connectionist temporal classification: labelling
unsegmented sequence data with recurrent neural networks". A path has a label or the blank at each
frame. It reads as its labels after repeated ones are merged and blanks removed. The loss is
`optax.ctc_loss`. Here the blank is the last of the k logits.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

# Fills the places after the last label of a reading.
EMPTY = -1


def collapse(path: Sequence[int], blank: int) -> tuple[int, ...]:
    """Returns the labels that a path reads as."""
    merged = [label for i, label in enumerate(path) if i == 0 or label != path[i - 1]]
    return tuple(label for label in merged if label != blank)


def best_path(logits: Float[Array, "b t k"], mask: Float[Array, "b t"]) -> Int[Array, "b t"]:
    """Reads the likeliest path (section 3.2, "best path decoding").

    Args:
      logits: logits, whose last is the blank.
      mask: 1 for frames of data, which come before the padding.

    Returns:
      The labels from the start of each row on, then EMPTY, int32.
    """
    blank = logits.shape[-1] - 1
    path = jnp.where(mask > 0, jnp.argmax(logits, axis=-1), blank)
    before = jnp.pad(path[:, :-1], ((0, 0), (1, 0)), constant_values=blank)
    kept = (path != blank) & (path != before)
    return leftmost(path, kept)


def leftmost(labels: Int[Array, "b t"], kept: Array) -> Int[Array, "b t"]:
    """Moves the labels to keep to the start of each row, in order; the rest is EMPTY."""
    order = jnp.argsort(~kept, axis=1, stable=True)
    moved = jnp.take_along_axis(labels, order, axis=1)
    there = jnp.arange(labels.shape[1]) < jnp.sum(kept, axis=1, keepdims=True)
    return jnp.where(there, moved, EMPTY).astype(jnp.int32)


def edit_distances(
    found: Int[Array, "b n"], wanted: Int[Array, "b m"]
) -> tuple[Int[Array, " b"], Int[Array, " b"]]:
    """Counts the fewest insertions, deletions and replacements that turn one reading into another.

    Args:
      found: labels, then EMPTY.
      wanted: labels, then EMPTY.

    Returns:
      The distances, and the lengths of what is wanted (Levenshtein 1966).
    """

    def distance(found: Int[Array, " n"], wanted: Int[Array, " m"]) -> Int[Array, ""]:
        places = jnp.arange(wanted.shape[0] + 1)

        def step(row: Int[Array, " w"], label: Int[Array, ""]) -> tuple[Array, None]:
            change = row[:-1] + (wanted != label)
            best = jnp.concatenate([row[:1] + 1, jnp.minimum(change, row[1:] + 1)])
            # An insertion costs 1 a place: the least of best[i] + (j - i) over i <= j.
            best = jax.lax.cummin(best - places) + places
            return jnp.where(label == EMPTY, row, best), None

        row, _ = jax.lax.scan(step, places, found)
        return row[jnp.sum(wanted != EMPTY)]

    return jax.vmap(distance)(found, wanted), jnp.sum(wanted != EMPTY, axis=1)


def edit_distance(found: Sequence[Any], wanted: Sequence[Any]) -> int:
    """Counts the fewest insertions, deletions and replacements between two sequences, on the host.

    Sequences may be labels, words or letters.
    """
    row = list(range(len(wanted) + 1))
    for i, x in enumerate(found, 1):
        before, row = row, [i]
        for j, y in enumerate(wanted, 1):
            row.append(min(before[j - 1] + (x != y), before[j] + 1, row[j - 1] + 1))
    return row[-1]


def word_error_rate(found: Sequence[str], wanted: Sequence[str]) -> float:
    """Returns the edit distance in words, summed over texts and divided by the words wanted.

    Raises:
      ValueError: there are not as many texts, or no words are wanted.
    """
    pairs = [(x.split(), y.split()) for x, y in zip(found, wanted, strict=True)]
    words = sum(len(y) for _, y in pairs)
    if not words:
        raise ValueError("word_error_rate: the texts that are wanted have no words")
    return sum(edit_distance(x, y) for x, y in pairs) / words


def prefix_beam_search(
    log_probabilities: Float[np.ndarray, "t k"], width: int
) -> list[tuple[tuple[int, ...], float]]:
    """Finds likely readings, each with the probability of all of its paths (section 3.2).

    The search goes frame by frame and keeps the `width` likeliest prefixes (Hannun et al. 2014,
    arXiv 1408.2873, algorithm 1, without a language model). If `width` is at least the number of
    prefixes, the probabilities are exact.

    Args:
      log_probabilities: logarithms of the probabilities of each frame; the last is the blank's.
      width: number of prefixes to keep.

    Returns:
      Pairs (labels, log probability), the likeliest first; of equally likely ones the first in
      lexicographic order.
    """
    blank = log_probabilities.shape[1] - 1
    # Log probabilities of the paths that end in the blank, and of those that end in a label.
    beam = {(): (0.0, -np.inf)}
    for frame in np.asarray(log_probabilities, np.float64):
        grown: dict[tuple[int, ...], tuple[float, float]] = {}
        for prefix, (in_blank, in_label) in beam.items():
            both = np.logaddexp(in_blank, in_label)
            _add(grown, prefix, both + frame[blank], -np.inf)
            for label in range(blank):
                if prefix and prefix[-1] == label:
                    _add(grown, prefix, -np.inf, in_label + frame[label])
                    _add(grown, (*prefix, label), -np.inf, in_blank + frame[label])
                else:
                    _add(grown, (*prefix, label), -np.inf, both + frame[label])
        beam = dict(_ranked(grown)[:width])
    found = [(prefix, float(np.logaddexp(*ends))) for prefix, ends in _ranked(beam)]
    return [each for each in found if each[1] > -np.inf]


def containing(log_probabilities: Float[np.ndarray, "t k"], query: Sequence[int]) -> float:
    """Returns the probability that the reading contains a string of labels, over all paths.

    The automaton of Knuth, Morris & Pratt 1977 reads the labels. Its states are joined with the
    last symbol of the path, because a label counts again only after another symbol.

    Args:
      log_probabilities: logarithms of the probabilities of each frame; the last is the blank's.
      query: the labels to find, at least one, without the blank.
    """
    symbols, length = log_probabilities.shape[1], len(query)
    blank = symbols - 1
    # One row a number of labels matched so far; a match of all of them is never left.
    follows = [[_matched(query, at, s) for s in range(blank)] for at in range(length)]
    held = np.zeros((length, symbols))
    held[0, blank], found = 1.0, 0.0
    for frame in np.exp(np.asarray(log_probabilities, np.float64)):
        moved = np.zeros_like(held)
        moved[:, blank] = held.sum(1) * frame[blank]
        for label in range(blank):
            moved[:, label] += held[:, label] * frame[label]
            others = (held.sum(1) - held[:, label]) * frame[label]
            for at in range(length):
                if follows[at][label] == length:
                    found += others[at]
                else:
                    moved[follows[at][label], label] += others[at]
        held = moved
    return float(found)


def _matched(query: Sequence[int], at: int, label: int) -> int:
    """Returns the most labels of a query that end a text of its first `at` labels and `label`."""
    text = (*query[:at], label)
    return max(n for n in range(at + 2) if tuple(query[:n]) == text[len(text) - n :])


def _add(
    beam: dict[tuple[int, ...], tuple[float, float]],
    prefix: tuple[int, ...],
    in_blank: float,
    in_label: float,
) -> None:
    old = beam.get(prefix, (-np.inf, -np.inf))
    beam[prefix] = np.logaddexp(old[0], in_blank), np.logaddexp(old[1], in_label)


def _ranked(beam: dict[tuple[int, ...], tuple[float, float]]) -> list:
    return sorted(beam.items(), key=lambda each: (-np.logaddexp(*each[1]), each[0]))
