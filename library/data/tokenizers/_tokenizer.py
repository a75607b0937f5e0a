"""What a tokenizer is, and what several tokenizers share."""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, Int32

from library.config import ConfigError

# Every pattern of words of GPT-2 and of its successors ends a word before such a space.
_SPACE = re.compile(r"(?<=\S) ")
_SPACE_OR_NEWLINE = re.compile(r"(?<=\S)[ \n]")


class Tokenizer(NamedTuple):
    """A vocabulary with its encoder and decoder; picklable.

    Attributes:
      names: the text of each token, for people to read; different tokens may have the same name.
      encode: text -> ids, int32 `(t,)`; raises ConfigError for text outside the vocabulary, or that
        UTF-8 cannot encode.
      decode: ids `(t,)` -> text; raises ConfigError for ids outside the vocabulary.
      fitted: plain values from which the same tokenizer can be built without the text.
      cut: (text, start) -> the first place from `start` on, at 1 or later, at which the text can be
        cut so that the ids of its parts, one after the other, are the ids of the whole; -1 if there
        is none. None if a text can be cut nowhere: then a large document is encoded as a whole, by
        one process.
      spec: the name and arguments in the config that made it, see `text.make_tokenizer`.
    """

    names: tuple[str, ...]
    encode: Callable[[str], Int32[np.ndarray, " t"]]
    decode: Callable[[Int[np.ndarray, " t"]], str]
    fitted: Mapping[str, Any]
    cut: Callable[[str, int], int] | None = None
    spec: Mapping[str, Any] | None = None

    @property
    def vocab_size(self) -> int:
        """The number of tokens."""
        return len(self.names)


def cut_anywhere(text: str, start: int) -> int:
    """Returns a place to cut a text of characters or bytes, see `Tokenizer.cut`."""
    return max(start, 1) if max(start, 1) < len(text) else -1


def cut_before_space(text: str, start: int) -> int:
    """Returns the first place before a space and after anything but white space."""
    return _found(_SPACE, text, start)


def cut_before_space_or_newline(text: str, start: int) -> int:
    """Returns the first place before a space or newline and after anything but white space."""
    return _found(_SPACE_OR_NEWLINE, text, start)


def as_utf8(text: str) -> bytes:
    """Encodes text; a byte that a terminal could not decode becomes that byte again.

    Raises:
      ConfigError: the text has half of a surrogate pair.
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        wrong = text[error.start]
        raise ConfigError(
            f"character {error.start} of the text is {wrong!r}, half of a surrogate pair, which "
            "UTF-8 cannot encode: write the whole character, or '\ufffd'"
        ) from error


def checked(ids: np.ndarray, vocab_size: int) -> list[int]:
    """Returns ids as a list.

    Raises:
      ConfigError: an id is outside the vocabulary.
    """
    listed = np.asarray(ids).ravel().tolist()
    wrong = [i for i in listed if not 0 <= i < vocab_size]
    if wrong:
        raise ConfigError(
            f"token {wrong[0]} is outside the vocabulary (valid: 0 to {vocab_size - 1})"
        )
    return listed


def _found(pattern: re.Pattern, text: str, start: int) -> int:
    match = pattern.search(text, max(start, 1))
    return -1 if match is None else match.start()
