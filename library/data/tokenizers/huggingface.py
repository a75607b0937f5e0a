"""A vocabulary in Hugging Face's `tokenizer.json`."""

import json
from collections.abc import Mapping
from typing import Any

import tokenizers

from library.config import ConfigError
from library.data.tokenizers import _byte_level, _files
from library.data.tokenizers._tokenizer import Tokenizer


def huggingface(file: str, *, fitted: Mapping[str, Any] | None = None) -> Tokenizer:
    """Reads any tokenizer of the package `tokenizers` from its file `tokenizer.json`.

    Tokens that its post-processor adds at the begin or end of a text are left out: a text is cut
    into windows anywhere. Decoding is exact if the tokenizer's own decoder is. If its words are not
    those of GPT-2, a large document is encoded as a whole.

    Args:
      file: path of the file.
      fitted: `Tokenizer.fitted` of another tokenizer; if given, no file is read.

    Raises:
      ConfigError: the file cannot be read, or is no tokenizer of that package. The message names
        the file.
    """
    if fitted is not None:
        return _byte_level.from_rules(fitted["rules"], fitted["cuts"])
    text = _files.read(file, "tokenizer 'huggingface', file")
    where = f"tokenizer 'huggingface', file={file!r}"
    try:
        model = tokenizers.Tokenizer.from_str(text)
    except Exception as error:  # the package raises nothing more specific
        raise ConfigError(f"{where} is no tokenizer.json: {error}") from error
    if not model.get_vocab_size():
        raise ConfigError(f"{where} has no tokens")
    # Texts are neither shortened nor padded; windows are.
    model.no_truncation()
    model.no_padding()
    rules = model.to_str()
    return _byte_level.from_rules(rules, _cuts(json.loads(rules)))


def _cuts(rules: Mapping[str, Any]) -> str:
    """Returns before what a text can be cut, see `from_rules`; "none" if that is unknown."""
    words = rules["pre_tokenizer"] or {}
    added = [token for token in rules["added_tokens"] if _reaches_over_spaces(token)]
    gpt2 = words.get("type") == "ByteLevel" and not words["add_prefix_space"] and words["use_regex"]
    return "newline" if gpt2 and rules["normalizer"] is None and not added else "none"


def _reaches_over_spaces(token: Mapping[str, Any]) -> bool:
    takes = any(token[key] for key in ("lstrip", "rstrip", "single_word"))
    return takes or any(map(str.isspace, token["content"]))
