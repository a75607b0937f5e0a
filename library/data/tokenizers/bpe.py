"""Byte pairs that are learned from the training split."""

import functools
from collections.abc import Iterable, Mapping
from typing import Any

import tokenizers

from library.config import ConfigError
from library.data.tokenizers import _byte_level
from library.data.tokenizers._tokenizer import Tokenizer

_BYTES = 256


def bpe(
    texts: Iterable[str], vocab_size: int = 1024, *, fitted: Mapping[str, Any] | None = None
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
    rules = _learned(texts, vocab_size) if fitted is None else fitted["rules"]
    made = _byte_level.from_rules(rules, "newline")
    if made.vocab_size < vocab_size:
        raise ConfigError(
            f"tokenizer 'bpe', vocab_size={vocab_size}: the text gives at most {made.vocab_size} "
            "tokens"
        )
    return made._replace(fitted={"rules": rules})


def _learned(texts: Iterable[str], vocab_size: int) -> str:
    """Returns the learned tokenizer as JSON."""
    learn = _learn if isinstance(texts, tuple) else _learn.__wrapped__
    return learn(texts, vocab_size)


@functools.lru_cache(maxsize=4)
def _learn(texts: Iterable[str], vocab_size: int) -> str:
    model = tokenizers.Tokenizer(tokenizers.models.BPE())
    model.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    model.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab_size,
        initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    model.train_from_iterator(map(_byte_level.without_surrogates, texts), trainer)
    return model.to_str()
