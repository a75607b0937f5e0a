"""Tokenizers turn text into token ids and back.

`config.dataset.tokenizer` names one of these files. The function of the same name returns a
`Tokenizer`. It gets `texts`, the documents of the training split as strings, if it takes them, and
`fitted`, the values that a run has saved of its tokenizer, so that later programs use the same
tokens. `texts` is read each time that it is iterated over, and a document that is too large for
memory comes in parts, which end before a space or a newline.
"""

from library.data.tokenizers._tokenizer import Tokenizer
from library.data.tokenizers.bpe import bpe
from library.data.tokenizers.byte import byte
from library.data.tokenizers.character import character
from library.data.tokenizers.gpt2 import gpt2
from library.data.tokenizers.huggingface import huggingface
from library.data.tokenizers.of_run import of_run
from library.data.tokenizers.tiktoken import tiktoken
from library.data.tokenizers.word import word
from library.data.tokenizers.wordpiece import wordpiece

__all__ = [
    "Tokenizer",
    "bpe",
    "byte",
    "character",
    "gpt2",
    "huggingface",
    "of_run",
    "tiktoken",
    "word",
    "wordpiece",
]
