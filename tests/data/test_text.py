"""Windows of text: which tokens they hold, that each is a target once, and packed documents."""

import itertools
import pickle

import numpy as np
import pytest

from library.config import ConfigError
from library.data import text, tokenizers
from library.data.sources import Source

LONG = "".join(chr(ord("a") + i) for i in range(23))


def documents(*texts):
    return Source([{"text": t} for t in texts], None, lambda row: f"verse[{row}]")


def windows_of(*texts, context=4, windows="every"):
    source = documents(*texts)
    tokenizer = text.make_tokenizer({"name": "character"}, source)
    return text.open_text(source, tokenizer=tokenizer, context=context, windows=windows)


def rows(source, key="tokens"):
    return [source.records[i][key].tolist() for i in range(len(source.records))]


def written(source):
    return [source.tokenizer.decode(row) for row in rows(source)]


def test_bytes_that_are_not_utf8_are_named():
    source, tokenizer = documents("a", b"b\xff"), tokenizers.byte()
    for read in (
        lambda: text.make_tokenizer({"name": "character"}, source),
        lambda: text.open_text(source, tokenizer=tokenizer, context=1, windows="every"),
    ):
        with pytest.raises(ConfigError, match=r"^verse\[1\] is not UTF-8: byte 1 is 0xff"):
            read()


def test_every_position_starts_a_window():
    source = windows_of(LONG)
    assert len(source.records) == 23 - 4
    assert written(source) == [LONG[i : i + 5] for i in range(19)]
    record = source.records[7]
    assert set(record) == {"tokens"}
    assert record["tokens"].dtype == np.int32
    assert source.tokenizer.vocab_size == 23
    assert source.label_names is None


@pytest.mark.parametrize(("context", "count"), [(1, 22), (4, 5), (5, 4), (11, 2), (22, 1)])
def test_streams_begin_with_the_last_target_of_the_window_before(context, count):
    source = windows_of(LONG, context=context, windows="streams")
    assert len(source.records) == count
    starts = range(0, count * context, context)
    assert written(source) == [LONG[i : i + context + 1] for i in starts]
    assert set(source.records[0]) == {"tokens"}


@pytest.mark.parametrize("context", [1, 4, 5, 11, 22])
def test_an_epoch_counts_each_token_once_however_its_windows_lie(context):
    epochs = {
        name: windows_of(LONG, context=context, windows=name).examples_per_epoch
        for name in ("every", "streams")
    }
    assert epochs == dict.fromkeys(epochs, (len(LONG) - 1) // context)
    whole = windows_of(LONG, context=context, windows="disjoint")
    assert whole.examples_per_epoch == len(whole.records)
    assert documents("a", "b", "c").examples_per_epoch == 3


@pytest.mark.parametrize("context", [1, 2, 3, 4, 7, 11, 21, 22, 23, 40])
def test_disjoint_windows_have_each_token_as_a_target_once(context):
    source = windows_of(LONG, context=context, windows="disjoint")
    assert len(source.records) == -(-22 // context)
    found = ""
    for row in range(len(source.records)):
        record = source.records[row]
        assert record["tokens"].shape == record["segments"].shape == (context + 1,)
        assert record["segments"].dtype == np.int32
        real = record["segments"] == 1
        assert real[: real.sum()].all()
        assert (record["segments"][~real] == 0).all()
        assert (record["tokens"][~real] == 0).all()
        found += source.tokenizer.decode(record["tokens"][1:][real[1:]])
    assert found == LONG[1:]


@pytest.mark.parametrize("windows", ["every", "streams", "disjoint"])
def test_documents_are_numbered_within_each_window(windows):
    source = windows_of("abc", "", "de", "fghijk", context=4, windows=windows)
    whole, numbers = "abcdefghijk", [1, 1, 1, 2, 2, 3, 3, 3, 3, 3, 3]
    stride, count = {"every": (1, 7), "streams": (4, 2), "disjoint": (4, 3)}[windows]
    assert len(source.records) == count
    for row in range(count):
        start = row * stride
        part, held = whole[start : start + 5], np.array(numbers[start : start + 5])
        expected = [*(held - held[0] + 1), *[0] * (5 - len(part))]
        assert source.records[row]["segments"].tolist() == expected
        tokens = source.records[row]["tokens"][: len(part)]
        assert source.tokenizer.decode(tokens) == part


def test_packed_documents_count_every_token_but_their_first_once():
    texts = ["abc", "d", "", "efghi", "jk", "l" * 9]
    source = windows_of(*texts, context=3, windows="disjoint")
    counted = 0
    for tokens, segments in zip(rows(source), rows(source, "segments")):
        assert len(tokens) == 4
        pairs = itertools.pairwise(segments)
        counted += sum(a == b != 0 for a, b in pairs)
    assert counted == sum(max(len(t) - 1, 0) for t in texts)


def test_utf8_bytes_are_texts_too():
    source = windows_of("ñandú".encode(), context=4)
    assert written(source) == ["ñandú"]


def test_a_description_names_the_document_and_the_place():
    source = windows_of("abcde", "fghij", context=4)
    assert source.describe(0) == "verse[0], 5 tokens from token 0 on"
    assert source.describe(3) == "verse[0], 5 tokens from token 3 on"
    assert source.describe(5) == "verse[1], 5 tokens from token 0 on"


def test_the_vocabulary_is_that_of_the_documents_given():
    tokenizer = text.make_tokenizer({"name": "character"}, documents("abc"))
    options = dict(tokenizer=tokenizer, context=2, windows="disjoint")
    assert written(text.open_text(documents("cab"), **options)) == ["cab"]
    with pytest.raises(ConfigError, match=r"verse\[1\]: the vocabulary.* lacks 'X' \(1x\)"):
        text.open_text(documents("ab", "Xa"), **options)


def test_windows_travel_to_worker_processes():
    windows = windows_of(LONG, windows="disjoint").records
    copy = pickle.loads(pickle.dumps(windows))
    for row in range(len(windows)):
        for key in ("tokens", "segments"):
            np.testing.assert_array_equal(copy[row][key], windows[row][key])


def test_rows_outside_are_refused():
    records = windows_of(LONG).records
    for row in (-1, 19):
        with pytest.raises(IndexError, match=f"row {row} of 19"):
            records[row]


@pytest.mark.parametrize("windows", ["every", "streams"])
def test_a_context_that_the_text_does_not_fill_is_refused(windows):
    assert len(windows_of(LONG, context=22, windows=windows).records) == 1
    with pytest.raises(ConfigError, match=r"context=23 is too long .* has 23 .* use 22 or"):
        windows_of(LONG, context=23, windows=windows)


@pytest.mark.parametrize(
    ("texts", "options", "message"),
    [
        (["abc"], dict(context=0), "dataset.context=0"),
        (["abc"], dict(windows="evry"), "unknown windows 'evry': did you mean 'every'"),
        (["a"], dict(windows="disjoint", context=1), "1 tokens of text are too few"),
    ],
)
def test_what_is_not_understood_is_named(texts, options, message):
    with pytest.raises(ConfigError, match=message):
        windows_of(*texts, **options)


def test_records_without_text_are_named():
    source = Source([{"txt": "a"}], None, "lines[{}]".format)
    with pytest.raises(ConfigError, match=r"lines\[0\] has no feature 'text': did you mean 'txt'"):
        text.make_tokenizer({"name": "character"}, source)


def test_bpe_windows_hold_what_the_tokenizer_says():
    verse = "que el hombre que lo desvela una pena estrordinaria " * 5
    source = documents(verse)
    tokenizer = text.make_tokenizer({"name": "bpe", "vocab_size": 280}, source)
    windows = text.open_text(source, tokenizer=tokenizer, context=6, windows="streams")
    ids = tokenizer.encode(verse)
    assert rows(windows) == [ids[i : i + 7].tolist() for i in range(0, len(ids) - 6, 6)]
