"""Texts between their marks: tokens, masks and types, what is left out, and drawn pairs."""

import numpy as np
import pytest

from library.config import ConfigError
from library.data import preprocessing, provenance, tokenizers
from library.special_tokens import BERT

KINDS = {"a": "text", "b": "text", "label": "label"}
BYTE = dict(name="byte")
PAD, CLS, SEP = (BERT.index(name) for name in ("[PAD]", "[CLS]", "[SEP]"))
RNG = np.random.default_rng(0)


def ids(text):
    """Returns the tokens of a text: its bytes, after the tokens of BERT."""
    return [byte + len(BERT) for byte in text.encode()]


def marked(keys, length, example):
    operation = preprocessing.marked_text(keys, BYTE, length, kinds=KINDS)
    return operation.fitted(operation.fit([]))(example, RNG)


def test_one_text_is_between_its_marks():
    found = marked(("a",), 6, {"a": "xyz", "label": 1})
    assert found["text"].tolist() == [CLS, *ids("xyz"), SEP, PAD]
    assert found["text_mask"].tolist() == [1, 1, 1, 1, 1, 0]
    assert found["text_types"].tolist() == [0] * 6
    assert found["label"] == 1
    assert "a" not in found
    assert (found["text"].dtype, found["text_types"].dtype) == (np.int32, np.int32)
    assert marked(("a",), 4, {"a": "xyz"})["text"].tolist() == [CLS, *ids("xy"), SEP]


def test_of_a_pair_the_longer_text_loses_its_end_first():
    for length in (4, 6, 7, 11):
        for first in range(0, 7, 2):
            for second in range(7):
                a, b = "abcdefg"[:first], "tuvwxyz"[:second]
                found = marked(("a", "b"), length, {"a": a, "b": b})
                while len(a) + len(b) > length - 3:
                    a, b = (a[:-1], b) if len(a) > len(b) else (a, b[:-1])
                parts = [CLS, *ids(a), SEP], [*ids(b), SEP]
                rest = length - sum(map(len, parts))
                assert found["text"].tolist() == [*parts[0], *parts[1], *[PAD] * rest]
                types = [*[0] * len(parts[0]), *[1] * len(parts[1]), *[0] * rest]
                assert found["text_types"].tolist() == types


def test_the_vocabulary_has_the_tokens_of_bert_once():
    operation = preprocessing.marked_text(("a",), BYTE, 6, kinds=KINDS)
    names = preprocessing.tokenizer_of(operation.fitted({})).names
    assert names == (*BERT, *tokenizers.byte().names)
    assert (
        preprocessing.tokenizer_of(operation.fitted({})).decode(np.int32([CLS, *ids("xy"), SEP]))
        == "xy"
    )
    spec = dict(name="wordpiece", vocab_size=25)
    operation = preprocessing.marked_text(("a",), spec, 8, kinds=KINDS)
    fitted = operation.fitted(operation.fit([{"a": "the cat that sat on the mat"}]))
    learned = fitted.tokenizer
    assert learned.names[: len(BERT)] == BERT
    assert learned.names.count("[CLS]") == 1
    text = fitted({"a": "The mat"}, RNG)["text"]
    assert (text[0], learned.decode(text[text > len(BERT)])) == (CLS, "the mat")


def spans(document, other, count=400, length=20, **options):
    """Returns the texts of both spans, and whether the second follows, of many draws."""
    operation = preprocessing.sentence_pairs("a", "b", BYTE, length, kinds=KINDS, **options)
    operation, found = operation.fitted({}), []
    for seed in range(count):
        made = operation({"a": document, "b": other}, np.random.default_rng(seed))
        assert set(made) == {"text", "text_mask", "text_types", "next"}
        real = made["text_mask"] > 0
        parts = [made["text"][real & (made["text_types"] == part)] for part in (0, 1)]
        assert parts[0][0] == CLS
        assert [part[-1] for part in parts] == [SEP, SEP]
        decode = operation.tokenizer.decode
        found.append((decode(parts[0][1:-1]), decode(parts[1][:-1]), int(made["next"])))
    return found


def test_the_second_span_follows_the_first_in_half_of_the_pairs():
    document = " ".join(f"w{i:03d}" for i in range(300))
    other = " ".join(f"X{i:03d}" for i in range(300))
    found = spans(document, other)
    assert all((first + second in document) == bool(follows) for first, second, follows in found)
    assert all(second in other for _, second, follows in found if not follows)
    assert all(first in document for first, _, _ in found)
    assert 0.4 < np.mean([follows for _, _, follows in found]) < 0.6
    sizes = [len(first) + len(second) for first, second, _ in found]
    assert 0.8 < np.mean(np.array(sizes) == 17) < 0.97
    # Spans begin with a word, at places all over the document.
    assert all(first[0] == "w" for first, _, _ in found)
    assert len({first for first, _, _ in found}) > 200
    full = [len(a) + len(b) for a, b, _ in spans(document, other, 50, short=0.0)]
    assert set(full) == {17}


def test_the_same_text_twice_always_follows():
    document = " ".join(f"w{i:03d}" for i in range(30))
    assert all(follows for _, _, follows in spans(document, document, 40))


def test_a_tokenizer_from_files_is_not_kept(tmp_path):
    # The hash of what is kept covers no files of vocabularies, which may change.
    for make in (preprocessing.marked_text, preprocessing.tokenize):
        more = {"length": 8} if make is preprocessing.marked_text else {}
        kept = make(("a",), dict(name="word"), kinds=KINDS, **more)
        assert provenance.of_operation(kept)
        read = make(("a",), dict(name="word", more=str(tmp_path)), kinds=KINDS, **more)
        with pytest.raises(provenance.UnknownError, match="reads files of its own"):
            provenance.of_operation(read)


def test_what_does_not_fit_is_refused():
    for make, message in (
        (lambda: marked(("a", "b", "a"), 9, {}), "valid are one text, or two"),
        (lambda: marked(("c",), 9, {}), "unknown feature of marked_text 'c'"),
        (lambda: marked(("a",), 3, {}), "length=3: a text and its marks need 4 or more"),
        (lambda: spans("a b", "c", short=2.0), r"short=2\.0: valid are 0 to 1"),
        (lambda: spans("a b", "c", length=4), "two spans need 5 tokens or more"),
    ):
        with pytest.raises(ConfigError, match=message):
            make()
    with pytest.raises(ValueError, match="a has 1 tokens, and two spans need 2 or more"):
        spans("x", "y", 1)
