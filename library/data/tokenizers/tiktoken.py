"""A vocabulary in OpenAI's files of ranks, `.tiktoken`."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Literal

import tokenizers

from library.config import ConfigError, check_choice
from library.data.tokenizers import _byte_level, _files
from library.data.tokenizers._tokenizer import Tokenizer

# The patterns of words of r50k_base and p50k_base, and of cl100k_base.
_PATTERNS = {
    "gpt2": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "cl100k": (
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s+\z|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
}
# In cl100k, a word of punctuation takes the newlines after it.
_CUTS = {"gpt2": "newline", "cl100k": "space"}


def tiktoken(
    ranks: str,
    pattern: Literal["gpt2", "cl100k"] = "gpt2",
    special: dict | None = None,
    *,
    fitted: Mapping[str, Any] | None = None,
) -> Tokenizer:
    """Reads a byte-level vocabulary from a file of ranks, such as r50k_base.tiktoken.

    Two neighbours are merged if they make a token, those of the lowest rank first. The ids are the
    ranks. No text is unknown, and decoding is exact.

    Args:
      ranks: path of the file: a token in base64 and its rank a line.
      pattern: what words are: "gpt2" for r50k_base and p50k_base, "cl100k" for cl100k_base.
      special: ids of further tokens by their text, such as {"<|endoftext|>": 50256}; a text that
        holds these characters has that token there.
      fitted: `Tokenizer.fitted` of another tokenizer; if given, no file is read.

    Raises:
      ConfigError: the file cannot be read or is malformed, a rank occurs twice, a byte is missing,
        or a special token has the id of another one. The message names the file.
    """
    check_choice("pattern of tokenizer 'tiktoken'", pattern, _PATTERNS)
    if fitted is not None:
        return _byte_level.from_rules(fitted["rules"], fitted["cuts"])
    found = _ranks(ranks)
    spaced = _check_special(special or {}, found, ranks)
    rules = _rules(found, pattern, special or {})
    return _byte_level.from_rules(rules, "none" if spaced else _CUTS[pattern])


def _rules(ranks: Mapping[bytes, int], pattern: str, special: Mapping[str, int]) -> str:
    written = {token: "".join(_byte_level.alphabet()[i] for i in token) for token in ranks}
    vocabulary = {written[token]: rank for token, rank in ranks.items()}
    pairs = [(written[a], written[b]) for a, b in _merges(ranks)]
    # A word that is a token is that token, even if no merges lead to it.
    bpe = tokenizers.models.BPE(vocab={**vocabulary, **special}, merges=pairs, ignore_merges=True)
    model = tokenizers.Tokenizer(bpe)
    split = tokenizers.pre_tokenizers.Split(tokenizers.Regex(_PATTERNS[pattern]), "isolated")
    as_bytes = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    model.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([split, as_bytes])
    model.decoder = tokenizers.decoders.ByteLevel()
    model.add_special_tokens(list(special))
    return model.to_str()


def _merges(ranks: Mapping[bytes, int]) -> list[tuple[bytes, bytes]]:
    """Returns every pair of tokens that make a token, by the rank of that token."""
    found = []
    for token in sorted(ranks, key=ranks.get):
        halves = ((token[:i], token[i:]) for i in range(1, len(token)))
        pairs = [(a, b) for a, b in halves if a in ranks and b in ranks]
        found += sorted(pairs, key=lambda pair: (ranks[pair[0]], ranks[pair[1]]))
    return found


def _ranks(path: str) -> dict[bytes, int]:
    found: dict[bytes, int] = {}
    lines = _files.read(path, "tokenizer 'tiktoken', ranks").splitlines()
    for number, line in enumerate(lines, 1):
        where = f"tokenizer 'tiktoken', ranks={path!r}, line {number}"
        try:
            token, rank = line.split()
            found[base64.b64decode(token, validate=True)] = int(rank)
        except (ValueError, binascii.Error) as error:
            raise ConfigError(f"{where}: {line[:60]!r} is no token in base64 and rank") from error
    where = f"tokenizer 'tiktoken', ranks={path!r}"
    if len(found) != len(lines) or len(set(found.values())) != len(lines):
        raise ConfigError(f"{where}: a token or a rank occurs twice")
    if min(found.values(), default=0) < 0:
        raise ConfigError(f"{where}: the rank {min(found.values())} is below 0")
    _byte_level.check_bytes({_byte_level.alphabet()[t[0]] for t in found if len(t) == 1}, where)
    return found


def _check_special(special: Mapping[str, Any], ranks: Mapping[bytes, int], path: str) -> bool:
    """Checks special tokens, and returns whether one of them has white space."""
    taken = set(ranks.values())
    for text, number in special.items():
        where = f"tokenizer 'tiktoken', special={dict(special)!r}"
        if type(number) is not int or number < 0 or not text:
            raise ConfigError(f"{where}: {number!r} of {text!r} is no id, a number from 0")
        if number in taken:
            raise ConfigError(
                f"{where}: another token of {path} has the id {number}; the next free one is "
                f"{max(taken) + 1}"
            )
        taken.add(number)
    return any(map(str.isspace, "".join(special)))
