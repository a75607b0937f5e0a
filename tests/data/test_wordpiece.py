"""WordPiece, and vocabularies that come from other runs."""

import importlib
import json

import numpy as np
import pytest

from library.config import ConfigError
from library.data import tokenizers
from library.special_tokens import BERT

TEXTS = ("The lower the newest, the wider! lowest widest newer", "Élan: low low lower newest")
PIECES = (*BERT, "un", "##aff", "##able", "##ffable", "want", "##want", ",", "run", "##ning")


def published(folder, lines=PIECES):
    path = folder / "vocab.txt"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def longest_first(word, names):
    """Returns the pieces of a word: the longest known beginning, then the rest likewise."""
    pieces, start = [], 0
    while start < len(word):
        mark = "##" if start else ""
        ends = (e for e in range(len(word), start, -1) if mark + word[start:e] in names)
        end = next(ends, None)
        if end is None:
            return ["[UNK]"]
        pieces.append(mark + word[start:end])
        start = end
    return pieces


@pytest.mark.parametrize("word", ["unaffable", "unwanted", "running", "wantrunning", "want", "xun"])
def test_a_word_is_its_longest_known_pieces(tmp_path, word):
    made = tokenizers.wordpiece((), file=published(tmp_path))
    names = [made.names[i] for i in made.encode(word)]
    assert names == longest_first(word, PIECES)


def test_texts_are_cleaned_and_split_as_bert_does(tmp_path):
    made = tokenizers.wordpiece((), file=published(tmp_path))
    assert made.names == PIECES
    ids = made.encode("  Wänt,RUNning [MASK]\tunaffable")
    assert [made.names[i] for i in ids] == [
        *("want", ",", "run", "##ning", "[MASK]", "un", "##aff", "##able")
    ]
    assert made.decode(ids) == "want , running [MASK] unaffable"
    cased = tokenizers.wordpiece((), lowercase=False, file=published(tmp_path))
    assert cased.names[cased.encode("Want")[0]] == "[UNK]"
    assert made.cut is None


def test_learned_pieces_are_the_same_in_every_process():
    module = importlib.import_module("library.data.tokenizers.wordpiece")
    found = {module._learn.__wrapped__(TEXTS, 45, True) for _ in range(5)}
    assert len(found) == 1
    made = tokenizers.wordpiece(TEXTS, 45)
    assert made.names == found.pop()
    assert made.names[:5] == BERT
    for text in TEXTS:
        ids = made.encode(text)
        words = made.decode(ids).split()
        assert "[UNK]" not in words
        pieces = [made.names[i] for i in ids]
        assert pieces == [p for word in words for p in longest_first(word, made.names)]
    again = tokenizers.wordpiece((), fitted=made.fitted)
    np.testing.assert_array_equal(again.encode(TEXTS[0]), made.encode(TEXTS[0]))


def test_what_is_no_vocabulary_is_refused(tmp_path):
    path = published(tmp_path, [p for p in PIECES if p not in ("[CLS]", "[MASK]")])
    with pytest.raises(ConfigError, match=r"lacks \[CLS\], \[MASK\]"):
        tokenizers.wordpiece((), file=path)
    with pytest.raises(ConfigError, match="'want' occurs twice"):
        tokenizers.wordpiece((), file=published(tmp_path, (*PIECES, "want")))
    with pytest.raises(ConfigError, match="cannot be read"):
        tokenizers.wordpiece((), file=str(tmp_path / "none.txt"))
    with pytest.raises(ConfigError, match="vocab_size=20: the characters of the text alone"):
        tokenizers.wordpiece(TEXTS, 20)
    with pytest.raises(ConfigError, match="vocab_size=500: the text gives at most"):
        tokenizers.wordpiece(TEXTS, 500)


def record(folder, **values):
    folder.mkdir(exist_ok=True)
    (folder / "data.json").write_text(json.dumps({"tokenizer": None, "preprocess": {}, **values}))
    return str(folder)


def test_a_run_takes_the_tokenizer_of_another(tmp_path):
    learned = tokenizers.bpe(("ab ab ab abc abc",), 259)
    kept = {"spec": {"name": "bpe", "vocab_size": 259}, "fitted": dict(learned.fitted)}
    folder = record(tmp_path / "run", tokenizer=kept)
    made = tokenizers.of_run(folder)
    assert made.names == learned.names
    np.testing.assert_array_equal(made.encode("abcab"), learned.encode("abcab"))
    # Later programs need the other run no more.
    again = tokenizers.of_run(str(tmp_path / "gone"), fitted=made.fitted)
    assert again.names == learned.names
    spec = json.dumps({"name": "marked_text", "keys": ["text"], "tokenizer": kept["spec"]})
    others = {json.dumps({"name": "whiten"}): {}, spec: kept["fitted"]}
    folder = record(tmp_path / "other", preprocess=others)
    assert tokenizers.of_run(folder).names == learned.names


def test_words_of_another_run_become_words_too(tmp_path):
    known = tokenizers.word(("cat dog emu",))
    kept = {"spec": {"name": "word"}, "fitted": dict(known.fitted)}
    folder = record(tmp_path / "run", tokenizer=kept)
    texts = ("dog dog ant ant ant bee emu",)
    made = tokenizers.word(texts, 2, folder)
    assert made.names == ("<unknown>", "ant", "dog", "cat", "emu")
    assert made.fitted["counts"] == [1, 3, 2, 0, 1]
    assert tokenizers.word((), 2, "gone", fitted=made.fitted).names == made.names


def test_runs_without_tokens_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="no run is there"):
        tokenizers.of_run(str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="have no tokens"):
        tokenizers.of_run(record(tmp_path / "run"))
    kept = {"spec": {"name": "byte"}, "fitted": {}}
    with pytest.raises(ConfigError, match="the tokens of that run are no words"):
        tokenizers.word(("a b",), more=record(tmp_path / "bytes", tokenizer=kept))
