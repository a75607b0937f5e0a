"""Tokenizers turn text into token ids and back, with a vocabulary from the training split.

A run saves the fitted values of its tokenizer, so that later programs use the same tokens.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tokenizers
from jaxtyping import Int, Int32

from library.config import ConfigError

_BYTES = 256


class Tokenizer(NamedTuple):
    """A vocabulary with its encoder and decoder; picklable.

    Attributes:
      names: the text of each token, for people to read; different tokens may have the same name.
      encode: text -> ids, int32 `(t,)`; raises ConfigError for text outside the vocabulary, or that
        UTF-8 cannot encode.
      decode: ids `(t,)` -> text; raises ConfigError for ids outside the vocabulary.
      fitted: plain values from which the same tokenizer can be built without the text.
    """

    names: tuple[str, ...]
    encode: Callable[[str], Int32[np.ndarray, " t"]]
    decode: Callable[[Int[np.ndarray, " t"]], str]
    fitted: Mapping[str, Any]

    @property
    def vocab_size(self) -> int:
        """The number of tokens."""
        return len(self.names)


def character(
    texts: Sequence[str], unknown: str | None = None, *, fitted: Mapping[str, Any] | None = None
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
    characters = sorted(set().union(*texts)) if fitted is None else list(fitted["characters"])
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
        functools.partial(_encode_characters, codes, unknown is not None),
        functools.partial(_decode_characters, names),
        kept,
    )


def byte() -> Tokenizer:
    """Makes every byte of UTF-8 a token: 256 tokens, no unknown characters.

    Byte sequences that are not valid UTF-8 decode to U+FFFD.
    """
    names = tuple(chr(i) if 32 <= i < 127 else f"<{i:02x}>" for i in range(_BYTES))
    return Tokenizer(names, _encode_bytes, _decode_bytes, {})


def bpe(
    texts: Sequence[str], vocab_size: int = 1024, *, fitted: Mapping[str, Any] | None = None
) -> Tokenizer:
    """Learns byte-level byte-pair encoding: bytes, and merges of the most frequent pairs.

    Sennrich, Haddow & Birch 2016, "Neural machine translation of rare words with subword units",
    section 3.2, but on bytes instead of characters and within the words of GPT-2's pattern, as in
    Radford et al. 2019, section 2.2. No text is unknown, and decoding is exact.

    Args:
      texts: the training documents.
      vocab_size: number of tokens: the 256 bytes plus the merges.
      fitted: `Tokenizer.fitted` of another tokenizer; if given, nothing is learned.

    Raises:
      ConfigError: `vocab_size` is below 257, or the text has too few pairs to merge for it, or has
        a character that UTF-8 cannot encode.
    """
    if vocab_size <= _BYTES:
        raise ConfigError(
            f"tokenizer 'bpe', vocab_size={vocab_size}: the bytes alone are {_BYTES} tokens, so "
            f"use at least {_BYTES + 1} (or tokenizer 'byte')"
        )
    rules = _learn_bpe(tuple(texts), vocab_size) if fitted is None else fitted["rules"]
    model = tokenizers.Tokenizer.from_str(rules)
    found = model.get_vocab_size()
    if found < vocab_size:
        raise ConfigError(
            f"tokenizer 'bpe', vocab_size={vocab_size}: the text gives at most {found} tokens"
        )
    names = tuple(model.decode([i]) for i in range(found))
    encode, decode = (functools.partial(f, rules) for f in (_encode_bpe, _decode_bpe))
    return Tokenizer(names, encode, decode, {"rules": rules})


def _code_points(text: str) -> Int[np.ndarray, " t"]:
    # "surrogatepass": a byte that a terminal could not decode is a lone surrogate, and messages
    # must be able to show it.
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4").astype(np.int64)


def _encode_characters(codes: np.ndarray, has_unknown: bool, text: str) -> np.ndarray:
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


def _decode_characters(names: tuple[str, ...], ids: np.ndarray) -> str:
    return "".join(names[i] for i in _checked(ids, len(names)))


def _encode_bytes(text: str) -> np.ndarray:
    return np.frombuffer(_utf8(text), np.uint8).astype(np.int32)


def _utf8(text: str) -> bytes:
    """Encodes text; a byte that a terminal could not decode becomes that byte again."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        wrong = text[error.start]
        raise ConfigError(
            f"character {error.start} of the text is {wrong!r}, half of a surrogate pair, which "
            "UTF-8 cannot encode: write the whole character, or '\ufffd'"
        ) from error


def _without_surrogates(text: str) -> str:
    return _utf8(text).decode("utf-8", "replace")


def _decode_bytes(ids: np.ndarray) -> str:
    return bytes(_checked(ids, _BYTES)).decode("utf-8", "replace")


@functools.lru_cache(maxsize=4)
def _learn_bpe(texts: tuple[str, ...], vocab_size: int) -> str:
    """Returns the learned tokenizer as JSON."""
    model = tokenizers.Tokenizer(tokenizers.models.BPE())
    model.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    model.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab_size,
        initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    model.train_from_iterator(map(_without_surrogates, texts), trainer)
    return model.to_str()


@functools.lru_cache(maxsize=8)
def _loaded(rules: str) -> tokenizers.Tokenizer:
    return tokenizers.Tokenizer.from_str(rules)


@functools.lru_cache(maxsize=8)
def _encode_bpe(rules: str, text: str) -> np.ndarray:
    ids = np.array(_loaded(rules).encode(_without_surrogates(text)).ids, np.int32)
    ids.setflags(write=False)  # the cache returns this array to every caller
    return ids


def _decode_bpe(rules: str, ids: np.ndarray) -> str:
    model = _loaded(rules)
    return model.decode(_checked(ids, model.get_vocab_size()))


def _checked(ids: np.ndarray, vocab_size: int) -> list[int]:
    listed = np.asarray(ids).ravel().tolist()
    wrong = [i for i in listed if not 0 <= i < vocab_size]
    if wrong:
        raise ConfigError(
            f"token {wrong[0]} is outside the vocabulary (valid: 0 to {vocab_size - 1})"
        )
    return listed
