"""Texts as BERT reads them: one or two, between tokens that mark where they begin and end.

Devlin, Chang, Lee & Toutanova 2019, "BERT: Pre-training of deep bidirectional transformers for
language understanding" (arXiv 1810.04805), section 3:

    [CLS] tokens of the first [SEP]        and, of a pair,        tokens of the second [SEP]
"""

import dataclasses
import functools
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Int32

from library import config
from library.config import ConfigError, check_choice
from library.data import features
from library.data.features import Kinds
from library.data.preprocessing._examples import Example, Operation, positive
from library.data.preprocessing.tokenizing import Tokenizing, text_of
from library.data.tokenizers import Tokenizer
from library.special_tokens import BERT

_TOKENIZERS = "library.data.tokenizers"
# More characters than a token of most languages has: so many are read for each token.
_CHARACTERS = 12
_WORD = re.compile(r"(?<=\s)\S")

Tokens = Int32[np.ndarray, " t"]


@dataclasses.dataclass(frozen=True)
class Marking:
    """Turns texts of an example into the tokens of an input of BERT.

    Attributes:
      tokenizing: the texts of which the vocabulary is learned, and the tokenizer.
      length: tokens of an input, with its marks.
      name: the feature that is made.
      choose: (example, encode, length, generator) -> the tokens of one or two texts, and further
        features.
      texts: the features that are read, which the example no longer has.
      extra: the kinds of the further features.
    """

    tokenizing: Tokenizing
    length: int
    name: str
    choose: Callable[..., tuple[list[Tokens], Example]]
    texts: tuple[str, ...]
    extra: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def makes(self) -> dict[str, str]:
        """The kinds of the features that it makes, see `features.making`."""
        more = {f"{self.name}_mask": "array", f"{self.name}_types": "array"}
        return {self.name: "tokens", **more, **self.extra}

    @functools.cached_property
    def tokenizer(self) -> Tokenizer:
        """The fitted tokenizer; if it lacks the tokens of BERT, they come before its own."""
        plain = self.tokenizing.plain
        if set(BERT) <= set(plain.names):
            return plain
        encode = functools.partial(_encode, plain)
        decode = functools.partial(_decode, plain)
        return plain._replace(names=(*BERT, *plain.names), encode=encode, decode=decode, cut=None)

    @functools.cached_property
    def _marks(self) -> tuple[np.int32, ...]:
        names = self.tokenizer.names
        return tuple(np.int32(names.index(mark)) for mark in ("[PAD]", "[CLS]", "[SEP]"))

    def fit(self, examples: Iterable[Example]) -> dict[str, Any]:
        """Returns what the tokenizer is built from; examples are read once."""
        return self.tokenizing.fit(examples)

    def fitted(self, values: Mapping[str, Any]) -> Operation:
        """Returns the operation with the fitted values."""
        return dataclasses.replace(self, tokenizing=self.tokenizing.fitted(values))

    def __call__(self, example: Example, rng: np.random.Generator) -> Example:
        """Marks the texts of one example."""
        pad, begin, end = self._marks
        texts, more = self.choose(example, self.tokenizer.encode, self.length, rng)
        parts = [np.append(text, end) for text in texts]
        parts[0] = np.concatenate([[begin], parts[0]])
        ids = np.concatenate(parts)
        types = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        rest = self.length - len(ids)
        found = {k: x for k, x in example.items() if k not in self.texts}
        found[self.name] = np.pad(ids, (0, rest), constant_values=pad).astype(np.int32)
        found[f"{self.name}_mask"] = (np.arange(self.length) < len(ids)).astype(np.float32)
        found[f"{self.name}_types"] = np.pad(types, (0, rest)).astype(np.int32)
        return {**found, **more}


def marked_text(
    keys: tuple[str, ...],
    tokenizer: dict,
    length: int,
    name: str = "text",
    kinds: Kinds = features.USUAL,
) -> Operation:
    """Makes an input of BERT of one text, or of a pair.

    The features are `text` int32 (length,), `text_mask` float32, 1 for a token and 0 for padding,
    and `text_types` int32, 0 for the first text and padding and 1 for the second. What does not fit
    is left out: the ends of texts, of a pair the end of the longer one first. The vocabulary is
    fitted once to the texts of the training split. If the tokenizer has not the tokens "[PAD]",
    "[UNK]", "[CLS]", "[SEP]" and "[MASK]", the vocabulary begins with them.

    Args:
      keys: one text feature, or two.
      tokenizer: the name and arguments of a file in library/data/tokenizers/.
      length: tokens of an input, with its marks.
      name: the name of the feature that is made.
      kinds: the kinds of the features.

    Raises:
      ConfigError: a feature is unknown or no text, there are not one or two, the length is below 4,
        or the tokenizer or an argument of it is unknown.
    """
    if len(keys) not in (1, 2):
        raise ConfigError(f"marked_text, keys={list(keys)}: valid are one text, or two")
    made = _tokenizing("marked_text", keys, tokenizer, length, kinds)
    return Marking(made, length, name, functools.partial(_whole, made.keys), made.keys)


def sentence_pairs(
    document: str,
    other: str,
    tokenizer: dict,
    length: int,
    short: float = 0.1,
    name: str = "text",
    kinds: Kinds = features.USUAL,
) -> Operation:
    """Draws two spans of text, of which the second follows the first in half of the examples.

    Otherwise the second span is from another document (Devlin et al. 2019, section 3.1, next
    sentence prediction, where a sentence is any span of text). The features are those of
    `marked_text`, and `next` int32, 1 if the second span follows the first. The spans together have
    as many tokens as fit, or in a share of `short` a random number. The vocabulary is fitted once
    to `document` in the training split.

    Args:
      document: the feature with the text of the first span, such as that of a source.
      other: the feature with the text of another document. If it is the same text, the second span
        follows the first.
      tokenizer: the name and arguments of a file in library/data/tokenizers/.
      length: tokens of an input, with its marks.
      short: the share of shorter pairs.
      name: the name of the feature that is made.
      kinds: the kinds of the features.

    Raises:
      ConfigError: a feature is unknown or no text, the length is below 5, the share is not between
        0 and 1, or the tokenizer or an argument of it is unknown.
      ValueError: (the operation) a document has fewer than two tokens.
    """
    if not 0 <= short <= 1:
        raise ConfigError(f"sentence_pairs, short={short}: valid are 0 to 1")
    if length == 4:
        raise ConfigError("sentence_pairs, length=4: two spans need 5 tokens or more")
    check_choice("feature of sentence_pairs", other, features.named(kinds, "text"))
    made = _tokenizing("sentence_pairs", (document,), tokenizer, length, kinds)
    choose = functools.partial(_spans, document, other, short)
    return Marking(made, length, name, choose, (document, other), {"next": "array"})


def _tokenizing(
    operation: str, keys: tuple[str, ...], tokenizer: dict, length: int, kinds: Kinds
) -> Tokenizing:
    for key in keys:
        check_choice(f"feature of {operation}", key, features.named(kinds, "text"))
    if positive(length) < 4:
        raise ConfigError(f"{operation}, length={length}: a text and its marks need 4 or more")
    config.resolve(tokenizer, _TOKENIZERS, "tokenizer", texts=(), fitted=None)
    return Tokenizing(tuple(keys), config.plain(tokenizer))


def _whole(
    keys: tuple[str, ...],
    example: Example,
    encode: Callable[[str], Tokens],
    length: int,
    rng: np.random.Generator,
) -> tuple[list[Tokens], Example]:
    texts = [encode(text_of(example, key)) for key in keys]
    room = length - 1 - len(texts)
    if len(texts) == 1:
        return [texts[0][:room]], {}
    # The longer one loses tokens until both fit: at last each has half of the room.
    first, second = map(len, texts)
    second = min(second, max(room - first, room // 2))
    first = min(first, room - second)
    return [texts[0][:first], texts[1][:second]], {}


def _spans(
    document: str,
    other: str,
    short: float,
    example: Example,
    encode: Callable[[str], Tokens],
    length: int,
    rng: np.random.Generator,
) -> tuple[list[Tokens], Example]:
    text, another = (text_of(example, key) for key in (document, other))
    room = length - 3
    if rng.random() < short:
        room = int(rng.integers(2, room + 1))
    found = _span(text, encode, room, rng)
    if len(found) < 2:
        raise ValueError(f"{document} has {len(found)} tokens, and two spans need 2 or more")
    first = int(rng.integers(1, len(found)))
    follows = text == another or bool(rng.random() < 0.5)
    second = found[first:] if follows else _span(another, encode, room - first, rng)
    return [found[:first], second], {"next": np.int32(follows)}


def _span(
    text: str, encode: Callable[[str], Tokens], count: int, rng: np.random.Generator
) -> Tokens:
    """Returns at most so many tokens of whole words from a random word on."""
    reach = _CHARACTERS * count
    start = int(rng.integers(max(len(text) - reach, 0) + 1))
    if start:
        found = _WORD.search(text, start)
        start = found.start() if found else 0
    part = text[start : start + reach]
    whole = start + reach >= len(text) or not any(map(str.isspace, part))
    return encode(part if whole else part.rsplit(None, 1)[0])[:count]


def _encode(tokenizer: Tokenizer, text: str) -> Tokens:
    return tokenizer.encode(text) + np.int32(len(BERT))


def _decode(tokenizer: Tokenizer, ids: np.ndarray) -> str:
    """Decodes tokens; those of BERT have no text."""
    ids = np.asarray(ids).ravel()
    return tokenizer.decode(ids[ids >= len(BERT)] - len(BERT))
