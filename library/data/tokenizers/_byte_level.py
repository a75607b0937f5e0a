"""Byte-level byte-pair encoding by rules, as the package `tokenizers` writes and runs them.

GPT-2 writes each of the 256 bytes as a printable character, so that tokens are strings.
"""

import functools
from collections.abc import Container

import numpy as np
import tokenizers

from library.config import ConfigError
from library.data.tokenizers._tokenizer import (
    Tokenizer,
    as_utf8,
    checked,
    cut_before_space,
    cut_before_space_or_newline,
)

# Texts up to this size are encoded once if they come again, as the prompts of samples do.
_SHORT = 1 << 16
_CUTS = {"newline": cut_before_space_or_newline, "space": cut_before_space, "none": None}


def from_rules(rules: str, cuts: str) -> Tokenizer:
    """Makes a tokenizer of rules.

    Args:
      rules: the JSON of a `tokenizers.Tokenizer`.
      cuts: before what a text can be cut, after anything but white space: "newline" for spaces and
        newlines, "space" for spaces, or "none".
    """
    model = _loaded(rules)
    special = {i: token.content for i, token in model.get_added_tokens_decoder().items()}
    names = tuple(special.get(i) or model.decode([i]) for i in range(_size(rules)))
    encode, decode = (functools.partial(f, rules) for f in (_encode, _decode))
    return Tokenizer(names, encode, decode, {"rules": rules, "cuts": cuts}, _CUTS[cuts])


@functools.cache
def alphabet() -> tuple[str, ...]:
    """Returns the characters that stand for the 256 bytes, ordered by byte."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return tuple(chr(i if i in printable else next(others)) for i in range(256))


def check_bytes(vocabulary: Container[str], where: str) -> None:
    """Raises ConfigError if a vocabulary lacks a byte: text with that byte would lose it."""
    missing = [i for i, character in enumerate(alphabet()) if character not in vocabulary]
    if missing:
        shown = ", ".join(f"0x{i:02x} ({alphabet()[i]!r})" for i in missing[:3])
        raise ConfigError(
            f"{where} is no byte-level vocabulary: it lacks {len(missing)} of the 256 bytes, such "
            f"as {shown}"
        )


def without_surrogates(text: str) -> str:
    """Returns the text that a tokenizer of rules can read; see `as_utf8` for errors."""
    return as_utf8(text).decode("utf-8", "replace")


@functools.lru_cache(maxsize=8)
def _loaded(rules: str) -> tokenizers.Tokenizer:
    return tokenizers.Tokenizer.from_str(rules)


@functools.lru_cache(maxsize=8)
def _size(rules: str) -> int:
    """Returns the largest id plus one: published vocabularies may leave out numbers."""
    return max(_loaded(rules).get_vocab(with_added_tokens=True).values()) + 1


def _encode(rules: str, text: str) -> np.ndarray:
    return _encoded(rules, text) if len(text) < _SHORT else _encoded.__wrapped__(rules, text)


@functools.lru_cache(maxsize=8)
def _encoded(rules: str, text: str) -> np.ndarray:
    # A post-processor would add a token at the begin or end of each part of a document. A batch
    # leaves out where tokens come from, which takes half of the time.
    texts = [without_surrogates(text)]
    (encoding,) = _loaded(rules).encode_batch_fast(texts, add_special_tokens=False)
    ids = np.array(encoding.ids, np.int32)
    ids.setflags(write=False)  # the cache returns this array to every caller
    return ids


def _decode(rules: str, ids: np.ndarray) -> str:
    return _loaded(rules).decode(checked(ids, _size(rules)), skip_special_tokens=False)
