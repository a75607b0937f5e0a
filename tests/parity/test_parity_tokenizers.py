"""Tokens of published vocabularies are those of transformers and tiktoken."""

import itertools

import numpy as np
import pytest

from library.data import tokenizers
from tests.data.vocabularies import END, STRANGE, TEXT, gpt2_files, ranks, ranks_file

TEXTS = (
    TEXT,
    STRANGE,
    "",
    " \n",
    "a  ",
    f"one{END} two{END}\n",
    "İıſK ﬁ",
    "'S 'll 'LL's",
    "\x1c \x85\xa0 ",
)
ALPHABET = (
    "a",
    "THE",
    " ",
    "  ",
    "\n",
    "\r\n",
    "\t",
    "'s",
    "'",
    "1",
    "23",
    "!",
    "ñ",
    "日",
    "🧉",
    END,
)


def texts():
    """Strange texts, and random ones."""
    random = np.random.default_rng(0)
    drawn = ("".join(random.choice(ALPHABET, 12)) for _ in range(300))
    return itertools.chain(TEXTS, drawn)


def test_gpt2_is_that_of_transformers(tmp_path):
    transformers = pytest.importorskip("transformers", reason="needs requirements-parity.txt")
    files = gpt2_files(tmp_path)
    theirs = transformers.GPT2TokenizerFast.from_pretrained(str(tmp_path))
    ours = tokenizers.gpt2(**files)
    assert ours.vocab_size == len(theirs)
    for text in texts():
        assert ours.encode(text).tolist() == theirs.encode(text), text
        ids = ours.encode(text)
        assert ours.decode(ids) == theirs.decode(ids, clean_up_tokenization_spaces=False) == text


def test_gpt2_as_one_file_is_that_of_transformers(tmp_path):
    transformers = pytest.importorskip("transformers", reason="needs requirements-parity.txt")
    gpt2_files(tmp_path)
    theirs = transformers.GPT2TokenizerFast.from_pretrained(str(tmp_path))
    theirs.save_pretrained(str(tmp_path / "saved"))
    ours = tokenizers.huggingface(str(tmp_path / "saved" / "tokenizer.json"))
    assert ours.cut is not None
    for text in texts():
        assert ours.encode(text).tolist() == theirs.encode(text), text


@pytest.mark.parametrize(("pattern", "name"), [("gpt2", "r50k_base"), ("cl100k", "cl100k_base")])
def test_ranks_are_those_of_tiktoken(tmp_path, pattern, name, monkeypatch):
    tiktoken = pytest.importorskip("tiktoken", reason="needs requirements-parity.txt")
    published = pytest.importorskip("tiktoken_ext.openai_public")
    # The pattern without the ranks, which would be downloaded.
    monkeypatch.setattr(published, "load_tiktoken_bpe", lambda *given, **more: {})
    words = getattr(published, name)()["pat_str"]
    theirs = tiktoken.Encoding(
        "small", pat_str=words, mergeable_ranks=ranks(), special_tokens={END: 400}
    )
    ours = tokenizers.tiktoken(ranks_file(tmp_path), pattern, {END: 400})
    for text in texts():
        assert ours.encode(text).tolist() == theirs.encode(text, allowed_special="all"), text
