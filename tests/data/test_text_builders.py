"""The builders of texts, on stand-ins and, where they are at hand, on the real files."""

import gzip
import hashlib
import importlib

import pytest

from library.config import ConfigError
from library.data import prepared, sources
from library.data.builders import packed

VERSE = "Aquí me pongo a cantar\nal compás de la vigüela,\nque el hombre que lo desvela\n"
# Characters of each split.
SIZES = {
    "tinyshakespeare": {"train": 1_003_854, "test": 111_540},
    "quijote": {"train": 1_863_979, "test": 207_109},
    "martin_fierro": {"train": 59_671, "test": 6_631},
    "republic": {"train": 1_075_639, "test": 119_516},
    "wikitext2": {"validation": 1_120_192, "test": 1_255_018},
}

# Of a split that has several.
DOCUMENTS = {"wikitext2": 60}


def builder_of(name):
    return importlib.import_module(f"library.data.builders.{name}").Builder


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Writes short texts in place of a builder's files; returns what prepares them."""

    def prepare(name, texts=None):
        builder = builder_of(name)
        texts = texts or [f"{i}\n{VERSE}" for i in range(len(builder.FILES))]
        folder = tmp_path / "manual" / builder.FOLDER
        folder.mkdir(parents=True)
        for file, text in zip(builder.FILES, texts):
            (folder / file).write_bytes(gzip.compress(text.encode()))
        sums = tuple(hashlib.sha256(text.encode()).hexdigest() for text in texts)
        monkeypatch.setattr(builder, "SHA256", sums)
        return texts, make(name, tmp_path, tmp_path / "manual")

    return prepare


def make(name, tmp_path, manual_dir=None):
    options = dict(progress=False, say=lambda _: None)
    return sources.prepare(name, data_dir=tmp_path / "data", manual_dir=manual_dir, **options)


def read(name, split, tmp_path):
    source = sources.open_source(name, split, data_dir=tmp_path / "data")
    assert len(source.records) == 1
    return bytes(source.records[0]["text"]).decode(), source


@pytest.mark.parametrize("name", [name for name in SIZES if name != "wikitext2"])
def test_the_first_ninety_percent_are_for_training(tmp_path, stand_in, name):
    (text,), info = stand_in(name)
    assert info.splits == {"train": 1, "test": 1}
    cut = int(len(text) * 0.9)
    train, source = read(name, "train", tmp_path)
    assert train == text[:cut]
    assert set(source.records[0]) == {"text"}
    file = builder_of(name).FILES[0]
    assert source.describe(0) == f"{name} train[0] ({file}, characters 0 to {cut})"
    assert read(name, "test", tmp_path)[0] == text[cut:]


ARTICLES = (
    " \n = A lobster = \n \n It is blue . \n \n = = Diet = = \n \n Fish . \n",
    " \n = A filter = \n \n Its resistance is \n = 1 <unk> / s and a <unk> = \n 1 . \n",
    " \n = A lobster = \n \n Another . \n",
)


def test_wikitext2_has_the_splits_that_are_there_and_documents_are_articles(tmp_path, stand_in):
    _, info = stand_in("wikitext2", ["".join(ARTICLES), ARTICLES[1]])
    assert info.splits == {"validation": 3, "test": 1}
    source = sources.open_source("wikitext2", "validation", data_dir=tmp_path / "data")
    found = {bytes(record["text"]).decode() for record in map(source.records.__getitem__, range(3))}
    assert found == set(ARTICLES)
    assert read("wikitext2", "test", tmp_path)[0] == ARTICLES[1]


def test_another_text_is_refused_and_leaves_nothing(tmp_path):
    (tmp_path / "martin_fierro_es.txt.gz").write_bytes(gzip.compress(VERSE.encode()))
    with pytest.raises(ConfigError, match=r"holds another text: 80 bytes of sha256 .*'text'"):
        make("martin_fierro", tmp_path, tmp_path)
    assert not list((tmp_path / "data" / "martin_fierro").glob("*"))


def test_a_broken_file_is_refused(tmp_path):
    (tmp_path / "martin_fierro_es.txt.gz").write_bytes(gzip.compress(VERSE.encode())[:-12])
    with pytest.raises(ConfigError, match="is not a readable gzip file"):
        make("martin_fierro", tmp_path, tmp_path)


@pytest.mark.parametrize("name", SIZES)
def test_the_real_texts_where_there_are_any(tmp_path, name):
    builder = builder_of(name)
    try:
        packed.find(prepared.DEFAULT_MANUAL_DIR, builder.FOLDER, builder.FILES)
    except ConfigError as missing:
        pytest.skip(f"the real text is not at hand: {missing}")
    make(name, tmp_path)
    for split, size in SIZES[name].items():
        records = sources.open_source(name, split, data_dir=tmp_path / "data").records
        assert len(records) == DOCUMENTS.get(name, 1)
        texts = [bytes(records[row]["text"]).decode() for row in range(len(records))]
        assert sum(map(len, texts)) == size
