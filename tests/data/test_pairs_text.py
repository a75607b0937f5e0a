"""Pairs of texts from files, and their tokens."""

import gzip
import pickle

import numpy as np
import pytest

from library.config import ConfigError
from library.data import features, preprocessing, sources
from library.special_tokens import END, NAMES

ENGLISH = ["a dog runs .", "two men sit .", "a dog sits .", "two dogs run ."]
GERMAN = ["ein Hund läuft .", "zwei Männer sitzen .", "ein Hund sitzt .", "zwei Hunde laufen ."]


def files(folder, **texts):
    for name, lines in texts.items():
        path = folder / name.replace("__", ".")
        data = ("\n".join(lines) + "\n").encode()
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return str(folder)


def opened(folder, split="train"):
    return sources.open_source("pairs_text", split, data_dir=folder)


def test_files_of_two_languages_and_a_table_are_read_by_line(tmp_path):
    folder = files(
        tmp_path, train__en=ENGLISH, train__de__gz=GERMAN, test__en=ENGLISH[:1], test__de=GERMAN[:1]
    )
    source = opened(folder, "train[1:3]")
    assert [dict(source.records[row]) for row in range(len(source.records))] == [
        {"de": GERMAN[row], "en": ENGLISH[row]} for row in (1, 2)
    ]
    assert source.kinds == {"de": "text", "en": "text"}
    assert source.describe(1).endswith("train.de.gz, line 3")
    assert sources.info("pairs_text", data_dir=folder).splits == {"train": 4, "test": 1}
    table = tmp_path / "pairs.tsv"
    table.write_text("".join(f"{a}\t{b}\n" for a, b in zip(ENGLISH, GERMAN)))
    ours, test = (opened(str(table), split) for split in ("train", "test"))
    assert ours.records[0] == {"source": ENGLISH[0], "target": GERMAN[0]}
    assert (len(ours.records), len(test.records)) == (3, 1)
    assert test.describe(0) == f"{table}, line 4"
    assert ours.fingerprint() != test.fingerprint()


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (dict(train__en=ENGLISH, train__de=GERMAN[:3]), "train.en has 4 lines.*is line 3"),
        (dict(train__en=["a", "", "b"], train__de=list("abc")), "train.en, line 2 is empty"),
        (dict(train__tsv=["a\tb", "a b"]), "train.tsv, line 2 has 1 columns"),
        (dict(train__tsv=["a\t "]), "train.tsv, line 1: the target is empty"),
        (dict(train__en=ENGLISH), "split 'train' has train.en: it needs"),
        (dict(other__txt=ENGLISH), "has no files such as train.en"),
        (
            dict(train__en=["a"], train__de=["b"], test__en=["a"], test__fr=["b"]),
            "has de, en in 'train'|has en, fr in 'test'",
        ),
    ],
)
def test_files_that_do_not_fit_are_named_by_line(tmp_path, texts, message):
    with pytest.raises(ConfigError, match=message):
        opened(files(tmp_path, **texts))


def test_a_line_that_is_not_utf8_is_named(tmp_path):
    files(tmp_path, train__de=GERMAN)
    (tmp_path / "train.en").write_bytes(b"a\nb\xff\n")
    with pytest.raises(ConfigError, match=r"train\.en, line 2 is not UTF-8: it has 0xff"):
        opened(str(tmp_path))
    with pytest.raises(ConfigError, match="no such file or directory"):
        opened(str(tmp_path / "none"))


def fitted(vocab_size=300):
    kinds = {"en": "text", "de": "text"}
    spec = dict(name="bpe", vocab_size=vocab_size)
    operation = preprocessing.tokenize(("en", "de"), spec, kinds=kinds)
    examples = [{"en": a, "de": b} for a, b in zip(ENGLISH, GERMAN)] * 2
    values = operation.fit(iter(examples))
    return operation.fitted(values), operation, kinds


def test_both_languages_share_a_vocabulary_and_decode_to_their_texts():
    operation, unfitted, kinds = fitted()
    assert features.after(unfitted, kinds) == {"en": "tokens", "de": "tokens"}
    chain = preprocessing.chain([operation, preprocessing.pad_series(40, kinds=operation.makes)])
    tokenizer = preprocessing.tokenizer_of(chain)
    assert tokenizer.vocab_size == 300 + len(NAMES)
    example = chain({"en": ENGLISH[0].encode(), "de": GERMAN[0]}, np.random.default_rng(0))
    for name, text in (("en", ENGLISH[0]), ("de", GERMAN[0])):
        ids, mask = example[name], example[f"{name}_mask"]
        count = int(mask.sum())
        assert ids.dtype == np.int32
        assert ids[count - 1] == END
        assert not ids[count:].any()
        assert min(ids[: count - 1]) >= len(NAMES)
        assert tokenizer.decode(ids) == text
    again = pickle.loads(pickle.dumps(operation))
    np.testing.assert_array_equal(again.tokenizer.encode(GERMAN[1]), tokenizer.encode(GERMAN[1]))
    assert preprocessing.tokenizer_of(preprocessing.pad_series(4, kinds={"a": "tokens"})) is None


def test_features_and_tokenizers_that_are_unknown_are_refused():
    kinds = {"en": "text", "label": "label"}
    with pytest.raises(ConfigError, match=r"feature of tokenize.*'fr'"):
        preprocessing.tokenize(("fr",), dict(name="byte"), kinds=kinds)
    with pytest.raises(ConfigError, match=r"keys=\[\]: name one text"):
        preprocessing.tokenize((), dict(name="byte"), kinds=kinds)
    with pytest.raises(ConfigError, match="byt"):
        preprocessing.tokenize(("en",), dict(name="byt"), kinds=kinds)
    with pytest.raises(ConfigError, match="at most"):
        fitted(vocab_size=5000)
