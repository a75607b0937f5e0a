"""Characters as tokens."""

import functools
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Int

from library.config import ConfigError
from library.data.tokenizers._tokenizer import Tokenizer, checked, cut_anywhere


def character(
    texts: Iterable[str], unknown: str | None = None, *, fitted: Mapping[str, Any] | None = None
) -> Tokenizer:
    """Makes every character that occurs in the texts a token, ordered by code point.

    Args:
      texts: the training documents.
      unknown: a character that does not occur in the texts, such as U+FFFD. It becomes the last
        token and replaces all unknown characters. By default unknown characters are errors.
      fitted: `Tokenizer.fitted` of another tokenizer; if given, `texts` is not read.

    Raises:
      ConfigError: there is no text, or `unknown` is not exactly one character that the text lacks.
    """
    if fitted is None:
        # One text after the other: together they may be too large for memory.
        characters = sorted({each for text in texts for each in set(text)})
    else:
        characters = list(fitted["characters"])
    # A list, because in a string JSON would join two lone surrogates into one character.
    kept = {"characters": list(characters)}
    if not characters:
        raise ConfigError("tokenizer 'character' needs text, and the training documents are empty")
    if unknown is not None:
        if len(unknown) != 1 or unknown in characters:
            raise ConfigError(
                f"tokenizer 'character', unknown={unknown!r}: it must be one character that does "
                "not occur in the training text, such as '\ufffd'"
            )
        characters.append(unknown)
    names = tuple(characters)
    codes = _code_points("".join(names))
    return Tokenizer(
        names,
        functools.partial(_encode, codes, unknown is not None),
        functools.partial(_decode, names),
        kept,
        cut_anywhere,
    )


def _code_points(text: str) -> Int[np.ndarray, " t"]:
    # "surrogatepass": a byte that a terminal could not decode is a lone surrogate, and messages
    # must be able to show it.
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4").astype(np.int64)


def _encode(codes: np.ndarray, has_unknown: bool, text: str) -> np.ndarray:
    known = codes[:-1] if has_unknown else codes
    points = _code_points(text)
    ids = np.minimum(np.searchsorted(known, points), len(known) - 1)
    missing = known[ids] != points
    if has_unknown:
        ids = np.where(missing, len(known), ids)
    elif missing.any():
        found, counts = np.unique(points[missing], return_counts=True)
        shown = ", ".join(f"{chr(c)!r} ({n}x)" for c, n in zip(found[:8], counts))
        more = f" and {len(found) - 8} more" if len(found) > 8 else ""
        raise ConfigError(
            f"the vocabulary has the {len(known)} characters of the training text and lacks "
            f"{shown}{more}; tokenizer.unknown='\ufffd' replaces unknown characters"
        )
    return ids.astype(np.int32)


def _decode(names: tuple[str, ...], ids: np.ndarray) -> str:
    return "".join(names[i] for i in checked(ids, len(names)))
