"""Words as tokens: what white space separates."""

import collections
import functools
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Int32

from library.config import ConfigError
from library.data.tokenizers._tokenizer import Tokenizer, checked, cut_before_space_or_newline
from library.data.tokenizers.of_run import of_run

UNKNOWN = "<unknown>"


def word(
    texts: Iterable[str],
    min_count: int = 1,
    more: str | None = None,
    *,
    fitted: Mapping[str, Any] | None = None,
) -> Tokenizer:
    """Makes every word of the texts a token, the most frequent first; equal ones by their letters.

    The first token, "<unknown>", stands for all other words. Decoding joins words by single spaces.
    `fitted["counts"]` says how often each token occurs in the texts.

    Args:
      texts: the training documents.
      min_count: how often a word has to occur in them.
      more: the workdir of a run whose words become tokens, too, in its order, such as a run of
        published vectors.
      fitted: `Tokenizer.fitted` of another tokenizer; if given, `texts` is not read.

    Raises:
      ConfigError: `min_count` is below 1, no word occurs so often, or there is no run `more` with
        words.
    """
    if min_count < 1:
        raise ConfigError(f"tokenizer 'word', min_count={min_count}: valid are 1 and more")
    if fitted is None:
        counts = collections.Counter(each for text in texts for each in text.split())
        known = sorted((-count, each) for each, count in counts.items() if each != UNKNOWN)
        frequent = [(each, -count) for count, each in known if -count >= min_count]
        others = [] if more is None else _words(more)
        taken = {each for each, _ in frequent}
        frequent += [(each, counts[each]) for each in others if each not in taken]
        words = [each for each, _ in frequent]
        rest = sum(counts.values()) - sum(count for _, count in frequent)
        fitted = {"words": words, "counts": [rest, *(count for _, count in frequent)]}
    words = list(fitted["words"])
    if not words:
        raise ConfigError(
            f"tokenizer 'word' needs words that occur {min_count} times or more, and the training "
            "documents have none"
        )
    names = (UNKNOWN, *words)
    places = {each: place for place, each in enumerate(names)}
    return Tokenizer(
        names,
        functools.partial(_encode, places),
        functools.partial(_decode, names),
        {"words": words, "counts": list(fitted["counts"])},
        cut_before_space_or_newline,
    )


def _words(workdir: str) -> list[str]:
    """Returns the words of a run."""
    known = of_run(workdir).fitted["fitted"]
    if "words" not in known:
        raise ConfigError(
            f"tokenizer 'word', more={workdir!r}: the tokens of that run are no words"
        )
    return list(known["words"])


def _encode(places: Mapping[str, int], text: str) -> Int32[np.ndarray, " t"]:
    return np.array([places.get(each, 0) for each in text.split()], np.int32)


def _decode(names: tuple[str, ...], ids: np.ndarray) -> str:
    return " ".join(names[i] for i in checked(ids, len(names)))
