"""Text for language models: documents become tokens, and tokens become windows of equal length.

The documents of a split are tokenized one by one and concatenated. A window is `context + 1`
consecutive tokens: its inputs are `tokens[:-1]` and its targets `tokens[1:]`. If windows can span
several documents, `segments` tells the documents apart.

An epoch is the number of windows that fit into the text end to end, so it counts each token once.
With a window at each position there are about `context` times as many windows, and an epoch is a
part of them.
"""

import dataclasses
import functools
import operator
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from jaxtyping import Int, Int32

from library import config
from library.config import ConfigError, nearest
from library.data.sources import Source
from library.data.tokenizers import Tokenizer


@dataclasses.dataclass(frozen=True)
class Windows:
    """Windows of a token sequence as examples: `tokens` `(width,)`, and `segments` if present.

    Attributes:
      tokens: all tokens, `(n,)`.
      documents: the document number of each token, `(n,)`; None if examples have no `segments`.
      width: tokens per window.
      stride: tokens from the start of one window to the start of the next.
      count: the number of windows; the last may extend beyond the text and is padded with 0.
    """

    tokens: Int32[np.ndarray, " n"]
    documents: Int32[np.ndarray, " n"] | None
    width: int
    stride: int
    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, row: int) -> dict:
        row = operator.index(row)
        if not 0 <= row < self.count:
            raise IndexError(f"row {row} of {self.count}")
        here = slice(row * self.stride, row * self.stride + self.width)
        record = {"tokens": self._padded(self.tokens[here])}
        if self.documents is not None:
            numbers = self.documents[here]
            record["segments"] = self._padded(numbers - numbers[0] + 1)
        return record

    def _padded(self, values: np.ndarray) -> np.ndarray:
        return np.pad(values, (0, self.width - len(values)))


def make_tokenizer(
    spec: Mapping[str, Any], documents: Source, fitted: Mapping[str, Any] | None = None
) -> Tokenizer:
    """Builds the tokenizer of a config; the training documents give the vocabulary.

    Args:
      spec: name and arguments of a function in library/data/tokenizers.py.
      documents: the training split, examples `{"text": str or UTF-8 bytes}`.
      fitted: `Tokenizer.fitted` of an earlier tokenizer with this spec; if given, the documents are
        not read.

    Raises:
      ConfigError: the name or an argument is unknown, or a document has no text or is not UTF-8.
    """
    texts = _texts(documents) if fitted is None else ()
    return config.build(spec, "library.data.tokenizers", "tokenizer", texts=texts, fitted=fitted)


def open_text(
    documents: Source,
    *,
    tokenizer: Tokenizer,
    context: int,
    windows: Literal["every", "streams", "disjoint"],
) -> Source:
    """Opens documents as windows of tokens and keeps all tokens in memory.

    An example is `{"tokens": int32 (context + 1,)}`. With several documents, and always with
    "disjoint", it also has `segments`, int32 `(context + 1,)`: the documents of a window are
    numbered from 1, and padding is 0. A target counts if its segment is that of its input and not
    0.

    Args:
      documents: examples `{"text": str or UTF-8 bytes}`.
      tokenizer: the tokenizer of the training split, see `make_tokenizer`.
      context: inputs per window.
      windows: the windows of a text of n tokens.
        "every": one at each position, n - context in all; shuffle them for training.
        "streams": (n - 1) // context full windows to be read in order. Each begins with the last
          target of the window before it. Targets that do not fill a window are left out.
        "disjoint": as "streams", but the rest is a padded window, so each target occurs once.

    Raises:
      ConfigError: there is no text, it is not UTF-8, the tokenizer lacks a character of it,
        `context` is below 1, or the text is too short for `context`.
    """
    config.check_choice("windows", windows, ("every", "streams", "disjoint"))
    if context < 1:
        raise ConfigError(f"dataset.context={context}: it must be 1 or more")
    parts = [_encoded(documents, row, tokenizer) for row in range(len(documents.records))]
    lengths = np.array([len(part) for part in parts])
    tokens = np.concatenate([np.zeros(0, np.int32), *parts])
    _check_length(documents, len(tokens), context, windows)
    has_segments = windows == "disjoint" or np.count_nonzero(lengths) > 1
    # Empty documents get no number, so that numbers rise by one within a window.
    numbers = np.cumsum(lengths > 0, dtype=np.int32)
    records = Windows(
        tokens=tokens,
        documents=np.repeat(numbers, lengths) if has_segments else None,
        width=context + 1,
        stride=1 if windows == "every" else context,
        count=_count(len(tokens), context, windows),
    )
    describe = functools.partial(_describe, documents, np.cumsum(lengths), records)
    one_pass = _count(len(tokens), context, "streams")
    return documents._replace(
        records=records,
        label_names=None,
        describe=describe,
        tokenizer=tokenizer,
        epoch=one_pass if windows == "every" else None,
        kinds={"tokens": "tokens", "segments": "array"},
    )


def _count(length: int, context: int, windows: str) -> int:
    if windows == "every":
        return length - context
    return (length - 1) // context if windows == "streams" else -(-(length - 1) // context)


def _check_length(documents: Source, length: int, context: int, windows: str) -> None:
    if length < 2:
        raise ConfigError(
            f"{documents.describe(0)}: {length} tokens of text are too few, next-token prediction "
            "needs 2 or more"
        )
    if windows != "disjoint" and context >= length:
        raise ConfigError(
            f"dataset.context={context} is too long for the text, which has {length} tokens from "
            f"{documents.describe(0)} on: use {length - 1} or less"
        )


def _texts(documents: Source) -> tuple[str, ...]:
    return tuple(_text(documents, row) for row in range(len(documents.records)))


def _text(documents: Source, row: int) -> str:
    record = documents.records[row]
    if "text" not in record:
        raise ConfigError(
            f"{documents.describe(row)} has no feature 'text': {nearest('text', record)}"
        )
    text = record["text"]
    try:
        return text if isinstance(text, str) else bytes(text).decode("utf-8")
    except UnicodeDecodeError as error:
        wrong = f"byte {error.start} is 0x{error.object[error.start]:02x}"
        raise ConfigError(f"{documents.describe(row)} is not UTF-8: {wrong}") from error


def _encoded(documents: Source, row: int, tokenizer: Tokenizer) -> Int[np.ndarray, " t"]:
    found = _text(documents, row)
    try:
        return tokenizer.encode(found)
    except ConfigError as error:
        raise ConfigError(f"{documents.describe(row)}: {error}") from error


def _describe(documents: Source, ends: np.ndarray, windows: Windows, row: int) -> str:
    start = row * windows.stride
    document = int(np.searchsorted(ends, start, side="right"))
    place = start - (int(ends[document - 1]) if document else 0)
    name = documents.describe(document)
    return f"{name}, {windows.width} tokens from token {place} on"
