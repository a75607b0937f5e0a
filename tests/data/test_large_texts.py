"""Texts that are too large for memory: the same examples as small ones, encoded once."""

import gzip
import importlib
import json
import pickle
import re
import threading

import numpy as np
import pytest

from library.config import ConfigError
from library.data import encoding, kept_files, large_texts, provenance, sources, text, token_files
from tests.kept import cache_in

VERSE = (
    "Aquí me pongo a cantar\r\nal compás de la vigüela,\nque el hombre que lo desvela\r"
    "una pena extraordinaria,\r\n\r\ncomo la ave solitaria\ncon el cantar se consuela.\n"
    "🧉🧉 日本語\n"
)
BYTE, CHARACTER = dict(name="byte"), dict(name="character")
BPE = dict(name="bpe", vocab_size=280)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    set_sizes(monkeypatch, large=64)
    # However slow the machine is, a test starts no processes.
    monkeypatch.setattr(encoding, "_WORTH_PROCESSES", np.inf)
    return cache_in(tmp_path, monkeypatch)


def set_sizes(monkeypatch, large):
    for name, size in dict(LARGE=large, BLOCK=11, PIECE=50, _NEAR=3).items():
        monkeypatch.setattr(large_texts, name, size)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "texts"
    (root / "b").mkdir(parents=True)
    (root / "a.txt").write_bytes(b"\xef\xbb\xbf" + 2 * VERSE.encode())
    (root / "b" / "c.txt.gz").write_bytes(gzip.compress(VERSE.encode() + b"\r"))
    (root / "d.txt").write_bytes(b"")
    (root / "e.txt").write_text("short")
    (root / "f.txt").write_text("oneverylongword" * 9)
    (root / "notes.md").write_text("not a text")
    return root


def opened(root, split="train"):
    return sources.open_source("text", split, data_dir=str(root))


def windows(root, spec=BPE, kind="every", context=6, split="train"):
    documents = opened(root, split)
    tokenizer = text.make_tokenizer(spec, opened(root))
    return text.open_text(documents, tokenizer=tokenizer, context=context, windows=kind)


def examples(source):
    return [source.records[row] for row in range(len(source.records))]


def assert_same(found, expected):
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected):
        assert ours.keys() == theirs.keys()
        for name, values in theirs.items():
            assert ours[name].dtype == values.dtype == np.int32
            np.testing.assert_array_equal(ours[name], values)


@pytest.mark.parametrize("split", ["train", "test", "train[7:-3]+test[10%:]"])
def test_large_documents_are_what_small_ones_are(folder, monkeypatch, split):
    found = opened(folder, split)
    assert isinstance(found.records.documents[0], large_texts.LargeDocument)
    set_sizes(monkeypatch, large=10**6)
    expected = opened(folder, split)
    assert not isinstance(expected.records.documents[0], large_texts.LargeDocument)
    assert [x["text"] for x in examples(found)] == [x["text"] for x in examples(expected)]
    assert found.fingerprint() == expected.fingerprint()
    assert found.notes == expected.notes
    for row in range(len(expected.records)):
        assert found.describe(row) == expected.describe(row)
    sizes = sources.info("text", data_dir=str(folder)).splits
    set_sizes(monkeypatch, large=64)
    assert sources.info("text", data_dir=str(folder)).splits == sizes


def test_any_part_is_found(folder):
    for name in ("a.txt", "b/c.txt.gz"):
        (document,) = large_texts.open_documents([folder / name])
        whole = document.text
        assert "\r" not in whole
        assert whole.startswith("Aquí me pongo a cantar\nal")
        for first in range(0, len(whole), 3):
            for last in (first, first + 1, first + 40, len(whole)):
                assert document.read(first, last) == whole[first:last]
        assert document.part(5, 90).part(3, 20).text == whole[8:25]


@pytest.mark.parametrize("content", [b"a" * 90 + b"\xff", 60 * b"\xf0\x9f\xa7\x89" + b"\xf0\x9f"])
def test_a_byte_that_is_not_utf8_is_named(tmp_path, content, monkeypatch):
    path = tmp_path / "x.txt"
    path.write_bytes(content)
    said = []
    for large in (64, 10**6):
        set_sizes(monkeypatch, large=large)
        with pytest.raises(ConfigError, match=r"x.txt is not UTF-8: byte \d+ is 0x") as error:
            opened(path)
        said.append(str(error.value))
    assert said[0] == said[1]


def test_a_text_is_counted_and_hashed_once(folder, monkeypatch):
    before = opened(folder).fingerprint()
    monkeypatch.setattr(large_texts, "_blocks", None)
    assert opened(folder).fingerprint() == before
    (folder / "e.txt").write_text("shorter")
    with pytest.raises(TypeError):
        opened(folder)


@pytest.mark.parametrize("kind", ["every", "streams", "disjoint"])
@pytest.mark.parametrize("spec", [BYTE, CHARACTER, BPE], ids=lambda spec: spec["name"])
def test_windows_of_a_large_text_are_those_of_a_small_one(folder, cache, monkeypatch, spec, kind):
    found = [windows(folder, spec, kind), windows(folder, spec, kind)]
    # No array in memory has as many entries as there are tokens.
    assert isinstance(found[0].records.tokens, token_files.MappedTokens)
    assert found[0].records.tokens.dtype == "<u2"
    assert len(list((cache / "tokens").iterdir())) == 1
    set_sizes(monkeypatch, large=10**6)
    expected = windows(folder, spec, kind)
    assert isinstance(expected.records.tokens, np.ndarray)
    for each in found:
        assert_same(examples(each), examples(expected))
        assert each.examples_per_epoch == expected.examples_per_epoch
        assert each.tokenizer.fitted == expected.tokenizer.fitted
        last = len(expected.records) - 1
        assert each.describe(last) == expected.describe(last)


def test_a_vocabulary_without_places_to_cut_encodes_whole_documents(folder, monkeypatch):
    made = text.make_tokenizer(BPE, opened(folder))
    options = dict(context=6, windows="every")
    expected = text.open_text(opened(folder), tokenizer=made, **options)
    whole = made._replace(cut=None, spec=dict(BPE, other=1))
    assert all(job.stop is None for job in encoding.jobs(opened(folder), whole))
    assert any(job.stop is not None for job in encoding.jobs(opened(folder), made))
    found = text.open_text(opened(folder), tokenizer=whole, **options)
    assert found.records.tokens.path != expected.records.tokens.path
    assert_same(examples(found), examples(expected))


def test_large_vocabularies_have_wider_tokens(tmp_path):
    assert token_files.dtype(65_536) == "<u2"
    assert token_files.dtype(65_537) == "<i4"


def test_windows_travel_without_their_tokens(folder):
    source = windows(folder)
    data = pickle.dumps(source.records)
    assert len(data) < 2000
    np.testing.assert_array_equal(pickle.loads(data)[3]["tokens"], source.records[3]["tokens"])


def count_encoding(monkeypatch, stop_after=None):
    """Counts the jobs that are encoded; raises after some of them, as a kill would end them."""
    done, real = [], encoding._Task.__call__

    def encode(self, job):
        if len(done) == stop_after:
            raise KeyboardInterrupt
        done.append(job)
        return real(self, job)

    monkeypatch.setattr(encoding._Task, "__call__", encode)
    return done


def half_written(partial):
    with partial.open("ab") as file:
        file.write(b"\x01\x02\x03")
    journal = partial.with_name(partial.name.replace(".partial", ".journal.partial"))
    with journal.open("a") as file:
        file.write("[6, 99")


def without_its_end(partial):
    partial.write_bytes(partial.read_bytes()[:-1])


def another_byte(partial):
    content = bytearray(partial.read_bytes())
    content[10] ^= 1
    partial.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "again"), [(half_written, 5), (without_its_end, 0), (another_byte, 0)]
)
def test_a_start_after_a_kill_continues(folder, cache, monkeypatch, damage, again):
    with monkeypatch.context() as patch:
        done = count_encoding(patch)
        windows(folder, BYTE)
        every = len(done)
    (path,) = (cache / "tokens").iterdir()
    intact = path.read_bytes()
    path.unlink()
    with monkeypatch.context() as patch:
        count_encoding(patch, stop_after=5)
        with pytest.raises(KeyboardInterrupt):
            windows(folder, BYTE)
    assert not path.exists()
    damage(path.with_name(f"{path.name}.partial"))
    done = count_encoding(monkeypatch)
    windows(folder, BYTE)
    assert len(done) == every - again
    assert path.read_bytes() == intact
    assert list((cache / "tokens").iterdir()) == [path]
    windows(folder, BYTE)
    assert len(done) == every - again


@pytest.mark.parametrize("size", [0, 10, -1, -200])
def test_a_damaged_file_is_set_aside_and_made_again(folder, cache, capsys, size):
    expected = examples(windows(folder, BYTE))
    (path,) = (cache / "tokens").iterdir()
    intact = path.read_bytes()
    path.write_bytes(intact[:size])
    found = windows(folder, BYTE)
    assert_same(examples(found), expected)
    assert path.read_bytes() == intact
    assert f"the kept file of tokens {path} is damaged" in capsys.readouterr().err
    assert path.with_suffix(".damaged").read_bytes() == intact[:size]


def test_another_text_or_tokenizer_has_tokens_of_its_own(folder, cache):
    for spec in (BYTE, CHARACTER, dict(CHARACTER, unknown="\ufffd")):
        windows(folder, spec)
    assert len(list((cache / "tokens").iterdir())) == 3
    windows(folder, BYTE, split="test", context=1)
    assert len(list((cache / "tokens").iterdir())) == 4
    # The same text elsewhere has the same tokens.
    windows(folder.rename(folder.with_name("moved")), BYTE)
    assert len(list((cache / "tokens").iterdir())) == 4


def test_tokens_that_do_not_fit_are_refused_before_they_are_encoded(folder, monkeypatch):
    monkeypatch.setenv(kept_files.LIMIT, "5e-7")
    said = r"tokens of .*a.txt and 3 more documents need about .* and COMPENDIUM_CACHE_GB=5e-07 is"
    with pytest.raises(ConfigError, match=said):
        windows(folder, BYTE)


@pytest.mark.parametrize("value", ["0", "1"])
def test_without_a_place_for_them_tokens_stay_in_memory(folder, cache, monkeypatch, value):
    expected = examples(windows(folder, BYTE))
    monkeypatch.setenv(kept_files.LIMIT, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "notes.md"))
    found = windows(folder, BYTE)
    assert isinstance(found.records.tokens, np.ndarray)
    assert_same(examples(found), expected)


def test_a_second_process_waits_for_the_first(folder, cache, monkeypatch):
    expected = examples(windows(folder, BYTE))
    (path,) = (cache / "tokens").iterdir()
    intact = path.read_bytes()
    path.unlink()
    begun, waits, told = threading.Event(), threading.Event(), []
    done, real = count_encoding(monkeypatch), encoding._Task.__call__

    def encode(self, job):
        begun.set()
        assert waits.wait(60)
        return real(self, job)

    monkeypatch.setattr(encoding._Task, "__call__", encode)
    monkeypatch.setattr(kept_files, "tell", lambda line: told.append(line) or waits.set())
    found = []
    open_one = lambda: found.append(windows(folder, BYTE))  # noqa: E731
    threads = [threading.Thread(target=open_one) for _ in range(2)]
    threads[0].start()
    assert begun.wait(60)
    threads[1].start()
    for thread in threads:
        thread.join()
    assert any("another process encodes" in line for line in told)
    assert len(done) == len(encoding.jobs(opened(folder), found[0].tokenizer))
    assert path.read_bytes() == intact
    for each in found:
        assert_same(examples(each), expected)


def test_an_error_names_the_document(folder):
    tokenizer = text.make_tokenizer(CHARACTER, opened(folder))
    (folder / "e.txt").write_text("Wrong")
    with pytest.raises(ConfigError, match=r"e.txt: the vocabulary .* lacks 'W'"):
        text.open_text(opened(folder), tokenizer=tokenizer, context=6, windows="every")


def count_learning(monkeypatch):
    # The package has the function of this name in its place.
    file = importlib.import_module("library.data.tokenizers.bpe")
    learned, real = [], file._learned
    monkeypatch.setattr(file, "_learned", lambda *given: learned.append(1) or real(*given))
    return learned


@pytest.mark.parametrize("large", [64, 10**6])
def test_a_vocabulary_is_learned_once(folder, cache, monkeypatch, large):
    set_sizes(monkeypatch, large)
    learned = count_learning(monkeypatch)
    first, again = (text.make_tokenizer(BPE, opened(folder)) for _ in range(2))
    assert (first.names, first.fitted) == (again.names, again.fitted)
    assert len(learned) == 1
    text.make_tokenizer(dict(BPE, vocab_size=270), opened(folder))
    text.make_tokenizer(BPE, opened(folder, "train[:90%]"))
    assert len(learned) == 3
    # What a run has kept comes before all.
    text.make_tokenizer(dict(BPE, vocab_size=257), opened(folder), dict(first.fitted))
    assert len(learned) == 3
    monkeypatch.setattr(provenance, "of_function", lambda function: "other code")
    text.make_tokenizer(BPE, opened(folder))
    assert len(learned) == 4


def test_a_damaged_vocabulary_is_set_aside_and_learned_again(folder, cache, monkeypatch):
    learned = count_learning(monkeypatch)
    first = text.make_tokenizer(BPE, opened(folder))
    (path,) = (cache / "fitted").iterdir()
    damaged = path.read_text().replace("vocab", "vocag")
    path.write_text(damaged)
    assert text.make_tokenizer(BPE, opened(folder)).fitted == first.fitted
    assert len(learned) == 2
    assert path.with_suffix(".damaged").read_text() == damaged
    assert json.loads(path.read_text().partition("\n")[2]) == first.fitted


@pytest.mark.full
def test_several_processes_tell_how_far_they_are(folder, cache, monkeypatch):
    expected = examples(windows(folder, BYTE))
    (path,) = (cache / "tokens").iterdir()
    intact = path.read_bytes()
    path.unlink()
    told, spread, real = [], [], encoding._spread
    monkeypatch.setattr(encoding, "_WORTH_PROCESSES", 0)
    monkeypatch.setattr(encoding, "_cpus", lambda: 2)
    monkeypatch.setattr(encoding, "_spread", lambda *given: spread.append(given) or real(*given))
    monkeypatch.setattr(token_files, "_TOLD_EVERY", 0)
    monkeypatch.setattr(kept_files, "tell", told.append)
    assert_same(examples(windows(folder, BYTE)), expected)
    assert path.read_bytes() == intact
    ((_, parts, processes),) = spread
    assert processes == 2
    # One line for the first job, which this process encodes, and one for each of the others.
    lines = [line for line in told if "minutes left" in line]
    assert len(lines) == 1 + len(parts)
    shares = [int(re.search(r"(\d+)% are encoded, ", line)[1]) for line in lines]
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[-1] == 100


@pytest.mark.full
def test_several_processes_make_the_same_tokens(folder):
    documents = opened(folder)
    for spec in (BYTE, BPE):
        tokenizer = text.make_tokenizer(spec, documents)
        jobs = encoding.jobs(documents, tokenizer)
        assert len(jobs) > 6
        given = (documents, tokenizer, jobs, text._text)
        alone, spread = (list(encoding.encode(*given, processes=n)) for n in (1, 2))
        for ours, theirs in zip(spread, alone, strict=True):
            np.testing.assert_array_equal(ours.tokens, theirs.tokens)
            assert ours.counts == theirs.counts
