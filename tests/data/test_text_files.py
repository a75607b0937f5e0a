"""Text of one's own: files and directories, their splits and slices, and what is refused."""

import gzip
import os

import pytest

from library.config import ConfigError
from library.data import sources, text_files

VERSE = "Aquí me pongo a cantar\nal compás de la vigüela\n"


def opened(path, split="train"):
    source = sources.open_source("text", split, data_dir=path)
    return [source.records[i]["text"] for i in range(len(source.records))], source


def write(root, **files):
    for name, content in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(f"{path.name}.txt").write_text(content)


def test_a_file_is_split_at_ninety_percent_of_its_characters(tmp_path):
    write(tmp_path, verse=VERSE)
    cut = int(len(VERSE) * 0.9)
    (train,), source = opened(tmp_path / "verse.txt")
    (test,), rest = opened(tmp_path / "verse.txt", "test")
    assert (train, test) == (VERSE[:cut], VERSE[cut:])
    assert source.describe(0) == str(tmp_path / "verse.txt")
    assert rest.describe(0) == f"{tmp_path / 'verse.txt'}, from character {cut} on"
    assert source.label_names is None
    info = sources.info("text", data_dir=tmp_path / "verse.txt")
    assert info.splits == {"train": cut, "test": len(VERSE) - cut}


def test_slices_count_characters(tmp_path):
    write(tmp_path, verse="0123456789" * 2)
    (part,), source = opened(tmp_path / "verse.txt", "train[2:50%]")
    assert part == "2345678"
    assert source.describe(0).endswith("verse.txt, from character 2 on")
    parts, _ = opened(tmp_path / "verse.txt", "test+train[:3]")
    assert parts == ["89", "012"]
    parts, _ = opened(tmp_path / "verse.txt", "test[1:]")
    assert parts == ["9"]


def test_a_directory_without_splits_is_one_text_in_the_order_of_its_paths(tmp_path):
    write(tmp_path, b="bbbb", a__z="aaaa", c="cc", **{".hidden__x": "xx"})
    (tmp_path / "notes.md").write_text("not a text")
    assert opened(tmp_path)[0] == ["aaaa", "bbbb", "c"]
    assert opened(tmp_path, "test")[0] == ["c"]


def test_each_file_is_read_once_and_what_is_passed_over_is_named(tmp_path):
    write(tmp_path, a="aaaa", deep__b="bbbb")
    (tmp_path / "C.TXT").write_text("cccc")
    (tmp_path / "D.Txt.GZ").write_bytes(gzip.compress(b"dddddddd"))
    (tmp_path / "deep" / "loop").symlink_to(tmp_path)
    (tmp_path / "again.txt").symlink_to(tmp_path / "a.txt")
    (tmp_path / "notes.md").write_text("not a text")
    (tmp_path / ".hidden.txt").write_text("no")
    texts, source = opened(tmp_path)
    assert texts == ["cccc", "dddddddd", "aaaa", "bb"]
    said = "\n".join(source.notes)
    assert "1 of the files and directories" in said
    for name in (
        "splits): notes.md",
        "(hidden): .hidden.txt",
        "another path): again.txt, deep/loop",
    ):
        assert name in said
    assert sources.info("text", data_dir=tmp_path).notes == source.notes


def test_a_split_in_capitals_is_that_split(tmp_path):
    write(tmp_path, train__a="one", elsewhere="no")
    (tmp_path / "train" / "up").symlink_to(tmp_path)
    (tmp_path / "TEST.TXT").write_text("two")
    assert opened(tmp_path)[0] == ["one"]
    assert opened(tmp_path, "test")[0] == ["two"]
    assert "outside the splits): elsewhere.txt" in opened(tmp_path)[1].notes[0]


def test_a_directory_in_capitals_is_that_split(tmp_path):
    write(tmp_path, TRAIN__a="one", Test="two", elsewhere="no")
    assert opened(tmp_path)[0] == ["one"]
    assert opened(tmp_path, "test")[0] == ["two"]


def test_a_split_reads_each_file_once_whatever_links_lead_to_it(tmp_path):
    write(tmp_path, train="one", train__b="two", valid__c="three", elsewhere="four")
    (tmp_path / "train" / "again.txt").symlink_to(tmp_path / "train.txt")
    (tmp_path / "valid.txt").symlink_to(tmp_path / "valid" / "c.txt")
    (tmp_path / "test.txt").symlink_to(tmp_path / "train" / "b.txt")
    (tmp_path / "TEST.TXT").symlink_to(tmp_path / "elsewhere.txt")
    texts, source = opened(tmp_path)
    assert texts == ["one", "two"]
    assert opened(tmp_path, "valid")[0] == ["three"]
    assert opened(tmp_path, "test")[0] == ["four", "two"]
    assert source.notes[-1] == "train and test share 1 of their texts, because of links"


def test_a_directory_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    write(tmp_path, train="one", elsewhere__a="two")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("elsewhere"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ConfigError, match=r"text: .*elsewhere cannot be read: Permission denied"):
        opened(tmp_path)


def test_splits_are_files_or_directories_of_their_names(tmp_path):
    write(tmp_path, train__b="two", train__a="one", valid="three", elsewhere="no")
    assert opened(tmp_path)[0] == ["one", "two"]
    assert opened(tmp_path, "valid")[0] == ["three"]
    with pytest.raises(ConfigError, match=r"unknown split 'test' .*valid: train, valid"):
        opened(tmp_path, "test")


def test_files_are_utf8_with_any_line_end_and_maybe_gzipped(tmp_path):
    path = tmp_path / "verse.txt.gz"
    path.write_bytes(gzip.compress("\ufeffuno\r\ndós\rtres\n".encode()))
    assert text_files.read(path) == "uno\ndós\ntres\n"


def test_another_encoding_is_refused_with_its_place(tmp_path):
    path = tmp_path / "verse.txt"
    path.write_bytes("cantar la ñandú".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"verse.txt is not UTF-8: byte 10 is 0xf1"):
        opened(path)


def test_a_broken_gzip_is_refused(tmp_path):
    path = tmp_path / "verse.txt.gz"
    path.write_bytes(gzip.compress(VERSE.encode())[:-12])
    with pytest.raises(ConfigError, match="is not a readable text file"):
        opened(path)


@pytest.mark.parametrize("name", ["nothing", ""])
def test_no_text_is_refused(tmp_path, name):
    with pytest.raises(ConfigError, match=r"no such file or directory|fewer than 2 characters"):
        opened(tmp_path / name)


def test_text_needs_a_path_and_nothing_more(tmp_path):
    write(tmp_path, verse=VERSE)
    with pytest.raises(ConfigError, match="needs data_dir"):
        sources.open_source("text", "train")
    with pytest.raises(ConfigError, match="takes no classes"):
        sources.open_source("text", "train", data_dir=tmp_path, classes=["a"])
    with pytest.raises(ConfigError, match="nothing to prepare"):
        sources.prepare("text", data_dir=tmp_path)
    with pytest.raises(ConfigError, match="is empty"):
        opened(tmp_path, "train[:0]")
