"""Text as tokens, with one vocabulary for several features, such as two languages."""

import dataclasses
import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int32

from library import config
from library.config import ConfigError, check_choice
from library.data import features
from library.data.features import Kinds
from library.data.preprocessing._examples import Example, Operation, feature
from library.data.tokenizers import Tokenizer
from library.special_tokens import END, NAMES

_TOKENIZERS = "library.data.tokenizers"


@dataclasses.dataclass(frozen=True)
class Tokenizing:
    """Turns the texts `keys` into tokens; the vocabulary is learned from all of them."""

    keys: tuple[str, ...]
    spec: Mapping[str, Any]
    known: Mapping[str, Any] | None = None

    @property
    def makes(self) -> dict[str, str]:
        """The kinds of the features that it makes, see `features.making`."""
        return dict.fromkeys(self.keys, "tokens")

    @property
    def outside(self) -> bool:
        """Whether the tokenizer comes from files, such as those of another run."""
        named = [x for key, x in self.spec.items() if key != "name" and isinstance(x, str)]
        return any(Path(x).expanduser().exists() for x in named)

    @functools.cached_property
    def tokenizer(self) -> Tokenizer:
        """The fitted tokenizer, whose first tokens are those of `library.special_tokens`."""
        return _with_special(self.plain)

    @functools.cached_property
    def plain(self) -> Tokenizer:
        """The fitted tokenizer as the config names it."""
        return self._built((), self.known)

    def fit(self, examples: Iterable[Example]) -> dict[str, Any]:
        """Returns what the tokenizer is built from; examples are read once."""
        texts = tuple(text_of(example, key) for example in examples for key in self.keys)
        return dict(self._built(texts, None).fitted)

    def fitted(self, values: Mapping[str, Any]) -> Operation:
        """Returns the operation with the fitted values."""
        return dataclasses.replace(self, known=values)

    def __call__(self, example: Example, rng: np.random.Generator) -> Example:
        """Tokenizes the texts of one example."""
        found = dict(example)
        for key in self.keys:
            ids = self.tokenizer.encode(text_of(example, key))
            found[key] = np.append(ids, END).astype(np.int32)
        return found

    def _built(self, texts: tuple[str, ...], fitted: Mapping[str, Any] | None) -> Tokenizer:
        given = dict(texts=texts, fitted=fitted)
        return config.build(dict(self.spec), _TOKENIZERS, "tokenizer", **given)


def tokenize(keys: tuple[str, ...], tokenizer: dict, kinds: Kinds = features.USUAL) -> Operation:
    """Turns the texts `keys` into tokens `(t,)`, int32, each with the token that ends a text.

    All of them share a vocabulary, which is fitted once to the training split (Sennrich, Haddow &
    Birch 2016, section 3.2: "joint BPE"). Its first three tokens are padding, the beginning and the
    end of a text; those of the tokenizer come after them. `pad_series` makes the lengths equal.

    Args:
      keys: the features, texts.
      tokenizer: the name and arguments of a file in library/data/tokenizers/.
      kinds: the kinds of the features.

    Raises:
      ConfigError: a feature is unknown or no text, there are none, or the tokenizer or an argument
        of it is unknown.
    """
    texts = features.named(kinds, "text")
    if not keys:
        raise ConfigError(f"tokenize, keys=[]: name one text or more, such as {texts or 'text'}")
    for key in keys:
        check_choice("feature of tokenize", key, texts)
    config.resolve(tokenizer, _TOKENIZERS, "tokenizer", texts=(), fitted=None)
    return Tokenizing(tuple(keys), config.plain(tokenizer))


def _with_special(tokenizer: Tokenizer) -> Tokenizer:
    encode = functools.partial(_encode, tokenizer)
    decode = functools.partial(_decode, tokenizer)
    names = (*NAMES, *tokenizer.names)
    return tokenizer._replace(names=names, encode=encode, decode=decode, cut=None)


def _encode(tokenizer: Tokenizer, text: str) -> Int32[np.ndarray, " t"]:
    return tokenizer.encode(text) + np.int32(len(NAMES))


def _decode(tokenizer: Tokenizer, ids: np.ndarray) -> str:
    """Decodes tokens up to the one that ends the text; padding and the beginning have no text."""
    ids = np.asarray(ids).ravel()
    ends = np.flatnonzero(ids == END)
    ids = ids[: ends[0]] if len(ends) else ids
    return tokenizer.decode(ids[ids >= len(NAMES)] - len(NAMES))


def text_of(example: Example, key: str) -> str:
    """Returns a feature that is a text.

    Raises:
      ValueError: there is no such feature, or it is no text.
    """
    value = feature(example, key)
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, bytes):
        value = value.decode("utf-8")
    if not isinstance(value, str):
        raise ValueError(f"{key} is of type {type(value).__name__}, not text")
    return value
