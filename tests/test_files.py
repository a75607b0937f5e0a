"""Files are whole at every moment."""

import json
import os

import pytest

from library import files


def test_a_file_is_replaced_as_a_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    files.write(path, "old")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        files.write(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]


def test_lone_surrogates_of_json_can_be_written(tmp_path):
    text = json.loads(r'"\ud800"')
    assert files.write(tmp_path / "a", text).read_text() == "?"
