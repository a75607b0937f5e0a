"""Text for language models: documents become tokens, and tokens windows of one length.

The documents of a split are tokenized one by one and laid end to end, and a window is `context`
tokens of them and the one that follows: its inputs are `tokens[:-1]` and its targets `tokens[1:]`.
A window that several documents may share tells them apart by `segments`.

An epoch is as many windows as lie end to end in the text, so that it counts each token once. Where
one starts at each position, they are `context` times as many: an epoch is a part of them.
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
    """Windows of a sequence of tokens as records, `{"tokens": (width,)}` and maybe "segments".

    Attributes:
      tokens: all of them, `(n,)`.
      documents: the number of each token's document, `(n,)`, where records have segments.
      width: tokens a window.
      stride: tokens from the start of one window to that of the next.
      count: the number of windows; the last may reach over the end.
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
            held = self.documents[here]
            record["segments"] = self._padded(held - held[0] + 1)
        return record

    def _padded(self, values: np.ndarray) -> np.ndarray:
        return np.pad(values, (0, self.width - len(values)))


def make_tokenizer(
    spec: Mapping[str, Any], documents: Source, fitted: Mapping[str, Any] | None = None
) -> Tokenizer:
    """Builds the tokenizer that a config names, its vocabulary that of the training documents.

    Args:
      spec: name and arguments of a function of library/data/tokenizers.py.
      documents: the training split, records `{"text": str or UTF-8 bytes}`.
      fitted: what a tokenizer of this spec took from its text, `Tokenizer.fitted`; then the
        documents are not read.

    Raises:
      ConfigError: an unknown name or argument, or documents without text.
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
    """Opens documents as windows of tokens; all of their tokens are held in memory.

    A record is `{"tokens": int32 (context + 1,)}`. `segments`, int32 of that shape, joins it where
    there are several documents, and always with "disjoint": documents are numbered from 1 in each
    window, and padding is 0. A target counts if its input is of the same segment, and not 0.

    Args:
      documents: records `{"text": str or UTF-8 bytes}`.
      tokenizer: of the training split, see `make_tokenizer`.
      context: inputs a window.
      windows: which there are, of n tokens.
        "every": one from each position, n - context of them, to be shuffled for training.
        "streams": (n - 1) // context whole ones, each beginning with the last target of the one
          before, to be read in order; the targets that do not fill a window are left out.
        "disjoint": the same, but the rest is a padded window: each target comes once.

    Raises:
      ConfigError: no text, text that the tokenizer does not know, a context below 1, or one that
        the text does not fill.
    """
    config.check_choice("windows", windows, ("every", "streams", "disjoint"))
    if context < 1:
        raise ConfigError(f"dataset.context={context}: a window has 1 token or more")
    parts = [_encoded(documents, row, tokenizer) for row in range(len(documents.records))]
    lengths = np.array([len(part) for part in parts])
    tokens = np.concatenate([np.zeros(0, np.int32), *parts])
    _check_length(documents, len(tokens), context, windows)
    shown = windows == "disjoint" or np.count_nonzero(lengths) > 1
    # Numbered without the empty ones, so that numbers rise by one within a window.
    numbers = np.cumsum(lengths > 0, dtype=np.int32)
    made = Windows(
        tokens=tokens,
        documents=np.repeat(numbers, lengths) if shown else None,
        width=context + 1,
        stride=1 if windows == "every" else context,
        count=_count(len(tokens), context, windows),
    )
    describe = functools.partial(_describe, documents, np.cumsum(lengths), made)
    once = _count(len(tokens), context, "streams")
    return documents._replace(
        records=made,
        label_names=None,
        describe=describe,
        tokenizer=tokenizer,
        epoch=once if windows == "every" else None,
        kinds={"tokens": "tokens", "segments": "array"},
    )


def _count(length: int, context: int, windows: str) -> int:
    if windows == "every":
        return length - context
    return (length - 1) // context if windows == "streams" else -(-(length - 1) // context)


def _check_length(documents: Source, length: int, context: int, windows: str) -> None:
    if length < 2:
        raise ConfigError(
            f"{documents.describe(0)}: {length} tokens of text are too few to predict one by one"
        )
    if windows != "disjoint" and context >= length:
        raise ConfigError(
            f"dataset.context={context} is longer than the text, of {length} tokens from "
            f"{documents.describe(0)} on: at most {length - 1}"
        )


def _texts(documents: Source) -> tuple[str, ...]:
    return tuple(_text(documents, row) for row in range(len(documents.records)))


def _text(documents: Source, row: int) -> str:
    record = documents.records[row]
    if "text" not in record:
        raise ConfigError(
            f"{documents.describe(row)} has no 'text' to be tokenized: {nearest('text', record)}"
        )
    text = record["text"]
    return text if isinstance(text, str) else bytes(text).decode("utf-8")


def _encoded(documents: Source, row: int, tokenizer: Tokenizer) -> Int[np.ndarray, " t"]:
    try:
        return tokenizer.encode(_text(documents, row))
    except ConfigError as error:
        raise ConfigError(f"{documents.describe(row)}: {error}") from error


def _describe(documents: Source, ends: np.ndarray, windows: Windows, row: int) -> str:
    start = row * windows.stride
    document = int(np.searchsorted(ends, start, side="right"))
    place = start - (int(ends[document - 1]) if document else 0)
    name = documents.describe(document)
    return f"{name}, {windows.width} tokens from token {place} on"
