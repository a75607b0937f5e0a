"""Bytes as tokens."""

import numpy as np

from library.data.tokenizers._tokenizer import Tokenizer, as_utf8, checked, cut_anywhere

_BYTES = 256


def byte() -> Tokenizer:
    """Makes every byte of UTF-8 a token: 256 tokens, no unknown characters.

    Byte sequences that are not valid UTF-8 decode to U+FFFD.
    """
    names = tuple(chr(i) if 32 <= i < 127 else f"<{i:02x}>" for i in range(_BYTES))
    return Tokenizer(names, _encode, _decode, {}, cut_anywhere)


def _encode(text: str) -> np.ndarray:
    return np.frombuffer(as_utf8(text), np.uint8).astype(np.int32)


def _decode(ids: np.ndarray) -> str:
    return bytes(checked(ids, _BYTES)).decode("utf-8", "replace")
