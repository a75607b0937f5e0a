"""Hashes of contents are those of the files, whatever is remembered."""

import hashlib
import json
import os

import pytest

from library.data import content_hashes as module
from library.data.content_hashes import content_hashes


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def reads(monkeypatch):
    """The files that were read, in order."""
    found, real = [], module._hash
    monkeypatch.setattr(module, "_hash", lambda path: found.append(path.name) or real(path))
    return found


@pytest.fixture
def root(tmp_path, monkeypatch):
    folder = tmp_path / "files"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / name).write_text(f"content of {name}")
    # As if the files had lain there for an hour.
    now = module.time.time_ns() + 3600 * 10**9
    monkeypatch.setattr(module.time, "time_ns", lambda: now)
    return folder


def of(text):
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_file_is_read_once(cache, root, reads):
    wanted = [of("content of b"), of("content of a")]
    assert content_hashes(root, ["b", "a"]) == wanted
    assert content_hashes(root, ["b", "a"]) == wanted
    assert reads == ["b", "a"]
    (memory,) = (cache / "compendium" / "content_hashes").iterdir()
    assert sorted(json.loads(memory.read_text())) == ["a", "b"]


def test_a_file_of_other_size_or_times_is_read_again(cache, root, reads):
    content_hashes(root, ["a", "b"])
    (root / "a").write_text("other")
    stat = os.stat(root / "b")
    (root / "b").write_text("content of c")
    # The time of the entry itself cannot be set back.
    os.utime(root / "b", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert content_hashes(root, ["a", "b"]) == [of("other"), of("content of c")]
    assert reads == ["a", "b", "a", "b"]


def test_a_file_that_may_still_change_within_a_tick_is_not_remembered(
    cache, root, reads, monkeypatch
):
    now = os.stat(root / "a").st_mtime_ns + 10**6
    monkeypatch.setattr(module.time, "time_ns", lambda: now)
    content_hashes(root, ["a"])
    content_hashes(root, ["a"])
    assert reads == ["a", "a"]
    assert not cache.exists()


def test_others_hashes_of_the_same_folder_are_kept(cache, root, reads):
    content_hashes(root, ["a"])
    content_hashes(root, ["b"])
    content_hashes(root, ["a", "b"])
    assert reads == ["a", "b"]


def test_without_a_place_to_remember_files_are_read_each_time(cache, root, reads):
    cache.write_text("a file, where a directory is needed")
    for _ in range(2):
        assert content_hashes(root, ["a"]) == [of("content of a")]
    assert reads == ["a", "a"]


@pytest.mark.parametrize("damaged", ["", "[1, 2]", '{"a": 3}', '{"a": [1, 2, 3, 4]}'])
def test_what_is_damaged_is_forgotten(cache, root, damaged):
    content_hashes(root, ["a"])
    (memory,) = (cache / "compendium" / "content_hashes").iterdir()
    memory.write_text(damaged)
    assert content_hashes(root, ["a"]) == [of("content of a")]
    assert sorted(json.loads(memory.read_text())) == ["a"]
    assert list(memory.parent.iterdir()) == [memory]


def test_what_cannot_be_read_has_no_hash(cache, root):
    assert content_hashes(root, ["c", "a"]) == [None, of("content of a")]
