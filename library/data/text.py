"""Text for language models: documents become tokens, and tokens become windows of equal length.

The documents of a split are tokenized one by one and concatenated. A window is `context + 1`
consecutive tokens: its inputs are `tokens[:-1]` and its targets `tokens[1:]`. If windows can span
several documents, `segments` tells the documents apart.

An epoch is the number of windows that fit into the text end to end, so it counts each token once.
With a window at each position there are about `context` times as many windows, and an epoch is a
part of them.

The tokens of a large text are encoded once and kept in a file, see `library.data.token_files`. A
window is then two places in that file, and no array has as many entries as the text has tokens.
"""

import dataclasses
import functools
import inspect
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tokenizers
from jaxtyping import Int, Int32, Int64

from library import config
from library.config import ConfigError, nearest
from library.data import (
    encoding,
    kept_files,
    large_texts,
    provenance,
    text_files,
    token_files,
)
from library.data.large_texts import LargeDocument
from library.data.sources import Source
from library.data.token_files import MappedTokens
from library.data.tokenizers import Tokenizer
from library.data.tokenizers._tokenizer import cut_before_space

_TOKENIZERS = "library.data.tokenizers"


@dataclasses.dataclass(frozen=True)
class Windows:
    """Windows of a token sequence as examples: `tokens` `(width,)`, and `segments` if present.

    Attributes:
      tokens: all tokens, `(n,)`.
      ends: the token after the last one of each document that is not empty, ascending; None if
        examples have no `segments`.
      width: tokens per window.
      stride: tokens from the start of one window to the start of the next.
      count: the number of windows; the last may extend beyond the text and is padded with 0.
    """

    tokens: Int32[np.ndarray, " n"] | MappedTokens
    ends: Int64[np.ndarray, " d"] | None
    width: int
    stride: int
    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, row: int) -> dict:
        row = operator.index(row)
        if not 0 <= row < self.count:
            raise IndexError(f"row {row} of {self.count}")
        start = row * self.stride
        tokens = self.tokens[start : start + self.width]
        record = {"tokens": self._padded(tokens)}
        if self.ends is not None:
            places = np.arange(start, start + len(tokens))
            numbers = np.searchsorted(self.ends, places, side="right")
            record["segments"] = self._padded(np.int32(numbers - numbers[0] + 1))
        return record

    def _padded(self, values: np.ndarray) -> np.ndarray:
        return np.pad(values, (0, self.width - len(values)))


def make_tokenizer(
    spec: Mapping[str, Any], documents: Source, fitted: Mapping[str, Any] | None = None
) -> Tokenizer:
    """Builds the tokenizer of a config; the training documents give the vocabulary.

    What it is fitted to is kept in the user's cache directory, for the next start.

    Args:
      spec: name and arguments of a function in library/data/tokenizers/.
      documents: the training split, examples `{"text": str or UTF-8 bytes}`.
      fitted: `Tokenizer.fitted` of an earlier tokenizer with this spec; if given, the documents are
        not read.

    Raises:
      ConfigError: the name or an argument is unknown, or a document has no text or is not UTF-8.
    """
    build = functools.partial(config.build, spec, _TOKENIZERS, "tokenizer")
    function, _ = config.resolve(spec, _TOKENIZERS, "tokenizer", texts=(), fitted=fitted)
    takes = inspect.signature(function).parameters
    fits = fitted is None and "texts" in takes
    known = _known(documents, function, "vocabulary", config.plain(spec)) if fits else None
    if known is not None and "fitted" in takes:

        def fit() -> Mapping[str, Any]:
            return build(texts=_texts(documents), fitted=None).fitted

        fitted = kept_files.values("fitted", known, fit, "vocabulary")
    texts = _texts(documents) if fits and fitted is None else ()
    return build(texts=texts, fitted=fitted)._replace(spec=config.plain(spec))


def open_text(
    documents: Source,
    *,
    tokenizer: Tokenizer,
    context: int,
    windows: Literal["every", "streams", "disjoint"],
) -> Source:
    """Opens documents as windows of tokens.

    The tokens of a small text are kept in memory, those of a large one in a file.

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
    tokens, lengths = _tokens(documents, tokenizer)
    _check_length(documents, len(tokens), context, windows)
    has_segments = windows == "disjoint" or np.count_nonzero(lengths) > 1
    ends = np.cumsum(lengths)
    records = Windows(
        tokens=tokens,
        # Empty documents get no number, so that numbers rise by one within a window.
        ends=ends[lengths > 0] if has_segments else None,
        width=context + 1,
        stride=1 if windows == "every" else context,
        count=_count(len(tokens), context, windows),
    )
    describe = functools.partial(_describe, documents, ends, records)
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


def _tokens(
    documents: Source, tokenizer: Tokenizer
) -> tuple[np.ndarray | MappedTokens, Int64[np.ndarray, " d"]]:
    """Returns the tokens of all documents, and the number of tokens of each."""
    kept = _kept(documents, tokenizer) if _is_large(documents) else None
    if kept is not None:
        return kept
    parts = [_encoded(documents, row, tokenizer) for row in range(len(documents.records))]
    lengths = np.array([len(part) for part in parts], np.int64)
    return np.concatenate([np.zeros(0, np.int32), *parts]), lengths


def _kept(documents: Source, tokenizer: Tokenizer) -> token_files.Kept | None:
    """Returns the tokens in the file that is kept of them; None if none can be kept."""
    made = [tokenizer.spec, tokenizer.fitted, tokenizer.names]
    known = _known(documents, tokenizer.encode, "tokens", *made)
    path = None if None in (known, tokenizer.spec) else kept_files.place("tokens", known, ".tokens")
    if path is None:
        return None
    read = functools.partial(kept_files.read, path, token_files.read, "file of tokens")
    kept = read()
    if kept is None:
        count = len(documents.records)
        more = f" and {count - 1} more documents" if count > 1 else ""
        work = token_files.Work(
            name=f"{documents.describe(0)}{more}",
            documents=count,
            dtype=token_files.dtype(tokenizer.vocab_size),
            jobs=encoding.jobs(documents, tokenizer),
            encode=functools.partial(encoding.encode, documents, tokenizer, read=_text),
        )
        kept = read() if token_files.write(path, work) else None
    return kept


def _known(documents: Source, function: Callable, *more: Any) -> list | None:
    """Returns what a function of a text, with more arguments, follows from; None if unknown."""
    if not kept_files.limit():
        return None
    try:
        code = [provenance.of_function(function), tokenizers.__version__]
        return [_identity(documents), code, *more]
    except (provenance.UnknownError, OSError):
        return None


def _identity(documents: Source) -> list:
    if isinstance(documents.records, text_files.Documents) and documents.fingerprint is not None:
        # All of the text counts, and no path.
        return list(documents.fingerprint().parts.values())
    return provenance.of_records(documents.records)


def _is_large(documents: Source) -> bool:
    if isinstance(documents.records, text_files.Documents):
        held = documents.records.documents
        return bool(held) and isinstance(held[0], LargeDocument)
    paths, _ = getattr(documents.records, "stored", tuple)() or ((), ())
    return large_texts.is_large(map(Path, paths))


class _Texts:
    """The texts of large documents in pieces, read each time that they are iterated over."""

    def __init__(self, documents: Source):
        self._documents = documents

    def __iter__(self) -> Iterator[str]:
        held = getattr(self._documents.records, "documents", None)
        for row in range(len(self._documents.records)):
            if held is None:
                yield _text(self._documents, row)
            else:
                yield from large_texts.pieces(held[row], cut_before_space)


def _texts(documents: Source) -> Iterable[str]:
    if _is_large(documents):
        return _Texts(documents)
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
