"""Published vocabularies from files: their tokens, where texts can be cut, and what is refused."""

import base64
import itertools
import json
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import tokenizers as package

from library.config import ConfigError, build
from library.data import tokenizers
from tests.data.vocabularies import END, STRANGE, TEXT, gpt2_files, ranks, ranks_file, rules

TEXTS = (TEXT, STRANGE, "", " ", "a", "the  end ", f"one{END} two{END}")
# The words of GPT-2's pattern, for texts of ASCII letters, digits, spaces and marks.
WORDS = re.compile(r"'(?:[sdmt]|ll|ve|re)| ?[A-Za-z]+| ?\d+| ?[^\sA-Za-z\d]+|\s+(?!\S)|\s+")
CL100K = re.compile(
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\nA-Za-z\d]?[A-Za-z]+|\d{1,3}| ?[^\sA-Za-z\d]+[\r\n]*"
    r"|\s+\Z|\s*[\r\n]+|\s+(?!\S)|\s+"
)
ASCII = "It's a hobbit's 12345 holes,  they'LL \n\n say: don't!!\n\n(in the ground)  \n the end \n "


def by_ranks(word, known):
    """Merges the two neighbours of the lowest rank until no two neighbours make a token."""
    parts = [bytes([i]) for i in word.encode()]
    if word.encode() in known:
        return [known[word.encode()]]
    while True:
        found = [
            (known[a + b], i)
            for i, (a, b) in enumerate(itertools.pairwise(parts))
            if a + b in known
        ]
        if not found:
            return [known[part] for part in parts]
        i = min(found)[1]
        parts[i : i + 2] = [parts[i] + parts[i + 1]]


def test_the_files_of_gpt2_give_the_tokens_that_were_written(tmp_path):
    published = tokenizers.gpt2(**gpt2_files(tmp_path))
    learned = tokenizers.bpe([TEXT * 3, STRANGE], 330)
    assert published.names == (*learned.names, END)
    for text in TEXTS[:-1]:
        ids = published.encode(text)
        assert ids.dtype == np.int32
        np.testing.assert_array_equal(ids, learned.encode(text))
        assert published.decode(ids) == text
    ids = published.encode(TEXTS[-1])
    assert ids.tolist() == [*learned.encode("one"), 330, *learned.encode(" two"), 330]
    assert published.decode(ids) == TEXTS[-1]
    plain = tokenizers.gpt2(**gpt2_files(tmp_path, more=()))
    np.testing.assert_array_equal(plain.encode(TEXTS[-1]), learned.encode(TEXTS[-1]))


@pytest.mark.parametrize(("pattern", "words"), [("gpt2", WORDS), ("cl100k", CL100K)])
def test_ranks_merge_the_lowest_first(tmp_path, pattern, words):
    made = tokenizers.tiktoken(ranks_file(tmp_path), pattern, {END: 400})
    known = ranks()
    assert made.vocab_size == 401
    expected = [i for word in words.findall(ASCII) for i in by_ranks(word, known)]
    assert made.encode(ASCII).tolist() == expected
    for text in TEXTS:
        assert made.decode(made.encode(text)) == text
    assert made.encode(f"a{END}").tolist() == [known[b"a"], 400]


def test_a_word_is_its_token_even_if_no_merges_lead_to_it(tmp_path):
    path = tmp_path / "x.tiktoken"
    known = {bytes([i]): i for i in range(256)} | {b"xyz": 256, b"aa": 257, b"aaaa": 258}
    path.write_text("".join(f"{base64.b64encode(t).decode()} {r}\n" for t, r in known.items()))
    made = tokenizers.tiktoken(str(path))
    assert made.encode("xyz").tolist() == [256]
    assert made.encode("wxyz").tolist() == [*b"wxyz"]
    assert made.encode("aaaaa").tolist() == [258, 97]


def test_a_tokenizer_json_gives_its_tokens_and_adds_none(tmp_path):
    learned = tokenizers.bpe([TEXT * 3, STRANGE], 330)
    model = package.Tokenizer.from_str(learned.fitted["rules"])
    model.add_special_tokens(["<s>"])
    model.post_processor = package.processors.TemplateProcessing("<s> $A", None, [("<s>", 330)])
    model.enable_truncation(5)
    model.enable_padding(length=50)
    path = tmp_path / "tokenizer.json"
    model.save(str(path))
    made = tokenizers.huggingface(str(path))
    for text in TEXTS:
        np.testing.assert_array_equal(made.encode(text), learned.encode(text))
    assert made.vocab_size == 331
    assert made.cut is not None


def other_tokenizers():
    """Tokenizers of other kinds, whose texts cannot be cut before every space."""
    for change in (
        lambda m: setattr(m, "normalizer", package.normalizers.Lowercase()),
        lambda m: setattr(m, "pre_tokenizer", package.pre_tokenizers.Metaspace()),
        lambda m: m.add_special_tokens([package.AddedToken("<x>", rstrip=True)]),
        lambda m: m.add_special_tokens(["a b"]),
    ):
        model = package.Tokenizer.from_str(tokenizers.bpe([TEXT], 300).fitted["rules"])
        change(model)
        yield model


def test_texts_of_other_words_are_not_cut(tmp_path):
    for model in other_tokenizers():
        model.save(str(tmp_path / "tokenizer.json"))
        assert tokenizers.huggingface(str(tmp_path / "tokenizer.json")).cut is None
    assert tokenizers.tiktoken(ranks_file(tmp_path), special={"a b": 400}).cut is None


def makers(folder):
    files, ranked = gpt2_files(folder), ranks_file(folder)
    return {
        "byte": dict(name="byte"),
        "character": dict(name="character"),
        "bpe": dict(name="bpe", vocab_size=320),
        "gpt2": dict(name="gpt2", **files),
        "tiktoken": dict(name="tiktoken", ranks=ranked, special={END: 400}),
        "cl100k": dict(name="tiktoken", ranks=ranked, pattern="cl100k"),
    }


def made(spec, **given):
    return build(spec, "library.data.tokenizers", "tokenizer", **{"texts": TEXTS, **given})


@pytest.mark.parametrize("name", ["byte", "character", "bpe", "gpt2", "tiktoken", "cl100k"])
def test_a_text_that_is_cut_has_the_same_tokens(tmp_path, name):
    tokenizer = made(makers(tmp_path)[name])
    text = STRANGE + TEXT + TEXTS[-1] + " " + STRANGE
    whole, places, place = tokenizer.encode(text).tolist(), [], 0
    while (place := tokenizer.cut(text, place + 1)) >= 0:
        places.append(place)
        halves = tokenizer.encode(text[:place]), tokenizer.encode(text[place:])
        assert [*halves[0], *halves[1]] == whole, text[place - 5 : place + 5]
    assert len(places) > 20
    assert tokenizer.cut(text, 0) == places[0]
    assert tokenizer.cut("a", 0) == tokenizer.cut("", 0) == -1


@pytest.mark.parametrize("name", ["gpt2", "tiktoken", "cl100k"])
def test_a_run_needs_its_files_no_more(tmp_path, name):
    spec = makers(tmp_path)[name]
    first = made(spec, fitted=None)
    for path in tmp_path.iterdir():
        path.unlink()
    again = made(spec, fitted=json.loads(json.dumps(first.fitted)))
    for each in (again, pickle.loads(pickle.dumps(first))):
        assert each.names == first.names
        assert each.fitted == first.fitted
        assert each.cut == first.cut
        np.testing.assert_array_equal(each.encode(STRANGE), first.encode(STRANGE))


def write_vocab(folder, change):
    spec = gpt2_files(folder)
    path = folder / "vocab.json"
    path.write_text(change(path.read_text()))
    return tokenizers.gpt2(**spec)


def write_merges(folder, change):
    spec = gpt2_files(folder)
    path = folder / "merges.txt"
    path.write_text(change(path.read_text()))
    return tokenizers.gpt2(**spec)


def without(text, token):
    return json.dumps({k: i for i, k in enumerate(t for t in json.loads(text) if t != token)})


@pytest.mark.parametrize(
    ("write", "change", "message"),
    [
        (write_vocab, lambda text: text[:-1], r"vocab='.*vocab.json' is no JSON: .*line 1"),
        (write_vocab, lambda text: "[]", "has no ids by token"),
        (
            write_vocab,
            lambda text: text.replace(": 7,", ": 8,"),
            "not 0 to 330, each once: see id 7",
        ),
        (
            write_vocab,
            lambda text: without(text, "Ġ"),
            r"lacks 1 of the 256 bytes, .* 0x20 \('Ġ'\)",
        ),
        (write_merges, lambda text: text + "a b c\n", "line 76: 'a b c' is not two tokens"),
        (write_merges, lambda text: text + "q qq\n", "line 76: 'qq' is not in .*vocab.json"),
    ],
)
def test_files_of_gpt2_that_are_malformed_are_refused(tmp_path, write, change, message):
    with pytest.raises(ConfigError, match=message):
        write(tmp_path, change)


@pytest.mark.parametrize(
    ("lines", "options", "message"),
    [
        ("YQ== 0\n", {}, "lacks 255 of the 256 bytes"),
        ("YQ== 0\nYg== 0\n", {}, "a token or a rank occurs twice"),
        ("YQ== 0\nYQ== 1\n", {}, "a token or a rank occurs twice"),
        ("YQ== 0\n?? 1\n", {}, "x.tiktoken', line 2: '\\?\\? 1' is no token in base64"),
        ("YQ==\n", {}, "line 1: 'YQ==' is no token in base64 and rank"),
        (None, {"special": {END: 7}}, "has the id 7; the next free one is 330"),
        (None, {"special": {END: "7"}}, "'7' of '<.endoftext.>' is no id"),
        (None, {"pattern": "cl100"}, "unknown pattern .*'cl100': did you mean 'cl100k'"),
    ],
)
def test_ranks_that_are_malformed_are_refused(tmp_path, lines, options, message):
    path = tmp_path / "x.tiktoken"
    path.write_text(lines or Path(ranks_file(tmp_path)).read_text())
    with pytest.raises(ConfigError, match=message):
        tokenizers.tiktoken(str(path), **options)


def test_files_that_are_missing_or_of_another_kind_are_named(tmp_path):
    path = tmp_path / "x.json"
    for make in (
        lambda: tokenizers.gpt2(str(path), str(path)),
        lambda: tokenizers.tiktoken(str(path)),
        lambda: tokenizers.huggingface(str(path)),
    ):
        path.unlink(missing_ok=True)
        with pytest.raises(ConfigError, match=r"x.json' cannot be read: No such file"):
            make()
        path.write_bytes(b"a\xff")
        with pytest.raises(ConfigError, match=r"x.json' is not UTF-8: byte 1 is 0xff"):
            make()
    for text in ("{}", "[", json.dumps(rules())):
        path.write_text(text)
        with pytest.raises(ConfigError, match=r"x.json' is no tokenizer.json"):
            tokenizers.huggingface(str(path))
