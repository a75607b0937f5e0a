"""Tokenizers: round trips, vocabularies that depend on the text only, and what is refused."""

import hashlib
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from library.config import ConfigError, available, build
from library.data import tokenizers

VERSE = (
    "Aquí me pongo a cantar\nal compás de la vigüela,\nque el hombre que lo desvela\n"
    "una pena estrordinaria,\ncomo la ave solitaria\ncon el cantar se consuela.\n\n"
)
STRANGE = "  \n\n\ttabs, spaces,  ¿ñandú? 日本語 🧉 \u0301 \x00 don't I'm\r\n "


def test_each_tokenizer_is_a_file_of_its_name():
    files = ["bpe", "byte", "character", "gpt2", "huggingface", "of_run", "tiktoken", "word"]
    files.append("wordpiece")
    assert available("library.data.tokenizers") == files == tokenizers.__all__[1:]


def test_characters_are_ordered_by_code_point():
    tokenizer = tokenizers.character(["cab\n", "ñb"])
    assert tokenizer.names == ("\n", "a", "b", "c", "ñ")
    assert tokenizer.vocab_size == 5
    ids = tokenizer.encode("abañ\nc")
    assert ids.dtype == np.int32
    assert ids.tolist() == [1, 2, 1, 4, 0, 3]
    assert tokenizer.decode(ids) == "abañ\nc"
    assert tokenizer.encode("").tolist() == []
    assert tokenizer.decode([]) == ""


def test_characters_outside_the_vocabulary_are_named_and_counted():
    tokenizer = tokenizers.character([VERSE])
    with pytest.raises(ConfigError, match=r"lacks 'W' \(2x\), '🧉' \(1x\); tokenizer.unknown="):
        tokenizer.encode("W🧉aW")
    with pytest.raises(ConfigError, match="and 18 more"):
        tokenizer.encode("BCDEFGHIJKLMNOPQRSTUVWXYZ"[:25] + "0")


def test_an_unknown_token_stands_for_all_characters_outside():
    tokenizer = tokenizers.character(["ba"], unknown="\ufffd")
    assert tokenizer.names == ("a", "b", "\ufffd")
    assert tokenizer.encode("\x00bz\ufffda🧉").tolist() == [2, 1, 2, 2, 0, 2]
    assert tokenizer.decode([2, 1]) == "\ufffdb"


@pytest.mark.parametrize("unknown", ["a", "", "??"])
def test_an_unknown_token_that_is_none_is_refused(unknown):
    with pytest.raises(ConfigError, match="one character that does not occur in the training text"):
        tokenizers.character(["abc"], unknown=unknown)


def test_words_are_ordered_by_how_often_they_occur():
    texts = ["a film  of a\n", "the film the <unknown>"]
    tokenizer = tokenizers.word(texts)
    assert tokenizer.names == ("<unknown>", "a", "film", "the", "of")
    ids = tokenizer.encode("the bad\tfilm ")
    assert ids.dtype == np.int32
    assert ids.tolist() == [3, 0, 2]
    assert tokenizer.decode(ids) == "the <unknown> film"
    assert tokenizer.encode(" ").tolist() == []
    assert tokenizer.fitted["counts"] == [1, 2, 2, 2, 1]
    frequent = tokenizers.word(texts, min_count=2)
    assert frequent.names == tokenizer.names[:4]
    assert frequent.fitted["counts"] == [2, 2, 2, 2]
    for count, message in ((0, "min_count=0"), (3, "occur 3 times or more, .* have none")):
        with pytest.raises(ConfigError, match=message):
            tokenizers.word(texts, min_count=count)


def test_words_are_cut_where_they_end():
    tokenizer, text = tokenizers.word([VERSE]), VERSE + STRANGE
    whole, at = tokenizer.encode(text).tolist(), 0
    while (at := tokenizer.cut(text, at + 1)) > 0:
        parts = [tokenizer.encode(part).tolist() for part in (text[:at], text[at:])]
        assert parts[0] + parts[1] == whole


def test_bytes_are_their_own_tokens():
    tokenizer = tokenizers.byte()
    assert tokenizer.vocab_size == len(set(tokenizer.names)) == 256
    assert tokenizer.encode("aé\n").tolist() == [97, 0xC3, 0xA9, 10]
    assert tokenizer.decode(tokenizer.encode(STRANGE)) == STRANGE
    assert tokenizer.decode([97, 0xC3]) == "a\ufffd"


def test_bpe_merges_the_most_frequent_neighbours_first():
    # "ab" comes 6 times, and of what is left "abc" 3 times.
    tokenizer = tokenizers.bpe(["abc abc abc abd ab ab"], vocab_size=259)
    merged = set(tokenizer.names) - set(tokenizers.bpe(["ab ab"], vocab_size=257).names)
    assert "ab" in tokenizer.names
    assert len(merged) == 2
    ids = tokenizer.encode("abab")
    assert len(ids) == 2
    assert [tokenizer.names[i] for i in ids] == ["ab", "ab"]


@pytest.mark.parametrize("text", [VERSE, STRANGE, "", " ", "W🧉"])
def test_bpe_knows_every_text_and_gives_it_back(text):
    tokenizer = tokenizers.bpe([VERSE], vocab_size=300)
    ids = tokenizer.encode(text)
    assert ids.dtype == np.int32
    assert tokenizer.vocab_size == 300
    assert tokenizer.decode(ids) == text
    assert len(ids) <= len(text.encode())
    assert text != VERSE or len(ids) < 0.8 * len(text)


@pytest.mark.parametrize(
    "encode",
    [
        tokenizers.byte().encode,
        lambda text: tokenizers.bpe([VERSE], vocab_size=258).encode(text),
        lambda text: tokenizers.bpe([VERSE, text], vocab_size=258),
    ],
)
def test_half_of_a_surrogate_pair_is_refused_and_a_byte_of_a_terminal_is_not(encode):
    with pytest.raises(ConfigError, match=r"character 1 of the text is '\\ud83e', half of a"):
        encode("a\ud83e")
    encode("a\udcc3")


def test_bpe_is_the_same_in_every_process():
    program = (
        "import hashlib\nfrom library.data import tokenizers\n"
        f"ids = tokenizers.bpe([{VERSE!r} * 3, {STRANGE!r}], vocab_size=330).encode({VERSE!r})\n"
        "print(hashlib.sha256(ids.tobytes()).hexdigest())"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    environment |= {"PYTHONHASHSEED": "7", "RAYON_NUM_THREADS": "1"}
    run = [sys.executable, "-c", program]
    other = subprocess.run(run, env=environment, capture_output=True, text=True, check=True)
    ids = tokenizers.bpe([VERSE * 3, STRANGE], vocab_size=330).encode(VERSE)
    assert other.stdout.strip() == hashlib.sha256(ids.tobytes()).hexdigest()


@pytest.mark.parametrize(
    "make",
    [
        lambda: tokenizers.character([VERSE]),
        tokenizers.byte,
        lambda: tokenizers.bpe([VERSE], vocab_size=280),
        lambda: tokenizers.word([VERSE]),
    ],
)
def test_tokenizers_travel_to_worker_processes(make):
    tokenizer = make()
    copy = pickle.loads(pickle.dumps(tokenizer))
    assert copy.names == tokenizer.names
    np.testing.assert_array_equal(copy.encode(VERSE), tokenizer.encode(VERSE))
    for wrong in (-1, tokenizer.vocab_size):
        with pytest.raises(ConfigError, match=f"token {wrong} is outside the vocabulary"):
            copy.decode(np.array([0, wrong]))


@pytest.mark.parametrize(
    "spec",
    [
        dict(name="character"),
        dict(name="character", unknown="\ufffd"),
        dict(name="byte"),
        dict(name="bpe", vocab_size=300),
        dict(name="word"),
    ],
)
def test_a_tokenizer_is_made_again_from_what_it_took_from_its_text(spec):
    # Of two surrogates side by side JSON would make one character.
    characters = spec["name"] == "character"
    text = VERSE + ("\ud83e\udd49" if characters else STRANGE)
    first = build(spec, "library.data.tokenizers", "tokenizer", texts=(text,), fitted=None)
    kept = json.loads(json.dumps(first.fitted))
    again = build(spec, "library.data.tokenizers", "tokenizer", texts=(), fitted=kept)
    assert again.names == first.names
    assert again.fitted == first.fitted
    ids = first.encode(text)
    np.testing.assert_array_equal(again.encode(text), ids)
    assert again.decode(ids) == first.decode(ids)
    assert first.decode(ids) == (" ".join(text.split()) if spec["name"] == "word" else text)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (dict(name="charcter"), "unknown tokenizer 'charcter': did you mean 'character'"),
        (dict(name="bpe", vocab_size=256), "vocab_size=256: .* at least 257"),
        (dict(name="bpe", vocab_size=5000), r"vocab_size=5000: the text gives at most \d+ tokens"),
        (dict(name="bpe", vocabulary=300), "did you mean 'vocab_size'"),
        (dict(name="byte", unknown="x"), "takes no 'unknown'"),
    ],
)
def test_what_is_not_understood_is_named(spec, message):
    with pytest.raises(ConfigError, match=message):
        build(spec, "library.data.tokenizers", "tokenizer", texts=(VERSE,))


def test_no_text_has_no_vocabulary():
    with pytest.raises(ConfigError, match="'character' needs text"):
        tokenizers.character([""])
