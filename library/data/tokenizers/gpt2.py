"""The vocabulary of GPT-2, or another one in the same two files."""

import json
from collections.abc import Mapping
from typing import Any

import tokenizers

from library.config import ConfigError
from library.data.tokenizers import _byte_level, _files
from library.data.tokenizers._tokenizer import Tokenizer

END = "<|endoftext|>"


def gpt2(vocab: str, merges: str, *, fitted: Mapping[str, Any] | None = None) -> Tokenizer:
    """Reads a byte-level vocabulary from the files `vocab.json` and `merges.txt` of GPT-2.

    Radford et al. 2019, "Language models are unsupervised multitask learners", section 2.2. No text
    is unknown, and decoding is exact. If the vocabulary has the token "<|endoftext|>", a text that
    holds these characters has that token there.

    Args:
      vocab: path of the JSON file of ids by token.
      merges: path of the text file of merges, two tokens a line.
      fitted: `Tokenizer.fitted` of another tokenizer; if given, no file is read.

    Raises:
      ConfigError: a file cannot be read or is malformed, an id is missing or occurs twice, a byte
        is missing, or a merge names an unknown token. The message names the file.
    """
    rules = _rules(vocab, merges) if fitted is None else fitted["rules"]
    return _byte_level.from_rules(rules, "newline")


def _rules(vocab: str, merges: str) -> str:
    ids = _ids(vocab)
    pairs = _pairs(merges, vocab, ids)
    model = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=ids, merges=pairs))
    model.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    model.decoder = tokenizers.decoders.ByteLevel()
    if END in ids:
        model.add_special_tokens([END])
    return model.to_str()


def _ids(path: str) -> dict[str, int]:
    where = f"tokenizer 'gpt2', vocab={path!r}"
    try:
        ids = json.loads(_files.read(path, "tokenizer 'gpt2', vocab"))
    except json.JSONDecodeError as error:
        raise ConfigError(f"{where} is no JSON: {error.msg}, line {error.lineno}") from error
    if not isinstance(ids, dict) or not all(type(i) is int for i in ids.values()):
        raise ConfigError(f"{where} has no ids by token, such as {{'a': 0}}")
    wrong = sorted(set(range(len(ids))) ^ set(ids.values()))
    if wrong:
        raise ConfigError(
            f"{where}: the ids of its {len(ids)} tokens are not 0 to {len(ids) - 1}, each once: "
            f"see id {wrong[0]}"
        )
    _byte_level.check_bytes(ids, where)
    return ids


def _pairs(path: str, vocab: str, ids: Mapping[str, int]) -> list[tuple[str, str]]:
    lines = _files.read(path, "tokenizer 'gpt2', merges").split("\n")
    first = int(lines[0].startswith("#version"))
    pairs = []
    for number, line in enumerate(lines[first:], first + 1):
        where = f"tokenizer 'gpt2', merges={path!r}, line {number}"
        if not line:
            continue
        pair = tuple(line.rstrip("\r").split(" "))
        if len(pair) != 2:
            raise ConfigError(f"{where}: {line!r} is not two tokens with a space between them")
        unknown = [token for token in (*pair, "".join(pair)) if token not in ids]
        if unknown:
            raise ConfigError(f"{where}: {unknown[0]!r} is not in {vocab}")
        pairs.append(pair)
    return pairs
