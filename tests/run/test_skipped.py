"""Examples that cannot be read: skipped, counted, named, and told of wherever they are missed."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from library.apps import predictions
from library.config import ConfigError
from library.data import pipeline, preprocessing, sources
from library.data.preprocessing import CorruptExample, UnfitExample
from library.run import session, skipped
from library.run.clock import Clock
from library.run.feed import Feed
from library.run.recipe import make_plan
from tests import tiny

DECODE = [dict(name="decode", channels=1)]
TEST = dict(test=dict(kind="metrics", every="6 steps"))


def photographs(root: Path, split: str, num: int, empty: int = 0) -> None:
    """Writes images of two classes; so many of the test images hold nothing."""
    data = tiny.arrays(num)
    for row in range(num):
        path = root / split / ("cat", "dog")[row % 2] / f"{row:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        file = io.BytesIO()
        Image.fromarray(data["image"][row, ..., 0]).save(file, "PNG")
        path.write_bytes(b"" if row < empty else file.getvalue())


def damaged(root: Path) -> Path:
    """Writes 20 training images, one a link to nothing, and 14 test images, 6 of them empty."""
    photographs(root, "train", 20)
    photographs(root, "test", 14, empty=6)
    (root / "train" / "cat" / "04.png").unlink()
    # What the console would take for a tag.
    lost = root / "train" / "cat" / "04 [red].png"
    lost.symlink_to(root / "nothing")
    return root


@pytest.fixture
def folder(tmp_path):
    return damaged(tmp_path / "photos")


COUNTS = {"train": {"examples": 20, "skipped": 1}, "test": {"examples": 14, "skipped": 6}}


def config(folder, **dataset):
    dataset = {"name": "folder", "data_dir": str(folder), "on_corrupt": "skip", **dataset}
    return tiny.config(dataset=dataset, preprocess=DECODE, evaluate=TEST)


def opened(folder):
    plan = make_plan(config(folder))
    return session.Trained(plan, Feed(plan), 0, None)


def listed(workdir):
    return json.loads((workdir / "skipped.json").read_text())


def counted(listed):
    return {k: {n: v[n] for n in ("examples", "skipped")} for k, v in listed.items()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Returns the folder, the workdir and what was shown of a whole run."""
    folder = damaged(tmp_path_factory.mktemp("skipped") / "photos")
    workdir, console = folder.parent / "run", Console(record=True, width=500, file=io.StringIO())
    assert session.train(config(folder), {}, workdir, Clock(), console) == 0
    return folder, workdir, console.export_text()


def test_a_metric_over_the_rest_says_so(finished):
    folder, workdir, shown = finished
    held, lost = listed(workdir), str(folder / "train" / "cat" / "04 [red].png")
    summary = json.loads((workdir / "summary.json").read_text())
    assert summary["skipped_by_split"] == COUNTS == counted(held)
    assert held["train"]["reasons"] == {lost: "cannot be read: No such file or directory"}
    names = ["cat/00.png", "cat/02.png", "cat/04.png", "dog/01.png", "dog/03.png", "dog/05.png"]
    assert sorted(held["test"]["reasons"]) == [str(folder / "test" / name) for name in names]
    reasons = {"image of 0 bytes cannot be decoded: it is empty"}
    assert set(held["test"]["reasons"].values()) == reasons
    told, page = [w["text"] for w in summary["warnings"]], (workdir / "report.html").read_text()
    for part in ("1 of 20 examples of train were skipped", "6 of 14 examples of test were skipped"):
        assert sum(part in text and "listed in skipped.json" in text for text in told) == 1
        assert f"warning: {part}" in shown
        assert f"{part}; skipped.json names them" in shown
        assert page.count(part) == 2
    assert page.count(lost) == 2
    assert lost in shown
    assert np.load(workdir / "evaluation.npz")["test/confusion"].sum() == 8
    assert "note: photographs are rotated by their EXIF orientation" in shown


def test_a_standalone_evaluation_says_so(finished, capsys, tmp_path):
    folder, workdir, _ = finished
    before = listed(workdir)
    # Of the run's own data a changed file is refused, so it evaluates a split of others.
    other = damaged(tmp_path / "other")
    (other / "train" / "dog" / "01.png").write_bytes(b"no image")
    values = config(folder) | {
        "splits": {"other": dict(split="train", data_dir=str(other))},
        "evaluate": {"fit": dict(kind="metrics", split="other")},
    }
    session.evaluate(values, workdir)
    assert "2 of 20 examples of other were skipped; metrics leave them out" in (
        capsys.readouterr().out
    )
    held = json.loads((workdir / "evaluation-skipped.json").read_text())
    assert {Path(name).name for name in held["other"]["reasons"]} == {"01.png", "04 [red].png"}
    assert listed(workdir) == before


def test_an_evaluation_writes_nothing_where_it_can_only_read(finished, capsys, monkeypatch):
    folder, workdir, _ = finished

    def refuse(path, *_, **__):
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr(session.os, "access", lambda path, mode: False)
    monkeypatch.setattr(Path, "unlink", refuse)
    monkeypatch.setattr(skipped.files, "write", refuse)
    session.evaluate(config(folder), workdir)
    assert "6 of 14 examples of test were skipped" in capsys.readouterr().out


@pytest.mark.parametrize(
    "dataset",
    [
        dict(),
        dict(cache="device"),
        pytest.param(dict(workers=2), marks=pytest.mark.full),
    ],
)
def test_what_a_feed_lacks_is_known_however_it_loads(folder, tmp_path, dataset):
    feed, told = Feed(make_plan(config(folder, **dataset)), tmp_path / "skipped.json"), []
    for _ in zip(range(2), feed.train(0)):
        pass
    feed.tell(told.append)
    assert list(feed.skipped.tallies()) == ["train"]
    assert sum(float(np.sum(batch["mask"])) for batch in feed.evaluation("test", None)) == 8
    feed.tell(told.append)
    assert counted(listed(tmp_path)) == COUNTS
    assert [text.partition(" were")[0] for text in told] == [
        "1 of 20 examples of train",
        "6 of 14 examples of test",
    ]
    # Another pass tells nothing new.
    list(feed.evaluation("test", None))
    feed.tell(told.append)
    assert len(told) == 2


def test_without_losses_there_is_no_list(folder, tmp_path):
    shutil.rmtree(folder / "test")
    photographs(folder, "test", 6)
    feed = Feed(make_plan(config(folder)), tmp_path / "skipped.json")
    list(feed.evaluation("test", None))
    feed.tell(pytest.fail)
    assert feed.skipped.tallies() == {}
    assert not (tmp_path / "skipped.json").exists()


def test_a_run_that_goes_on_keeps_its_list(folder, tmp_path):
    path = tmp_path / "skipped.json"
    for start in range(2):
        feed, told = Feed(make_plan(config(folder)), path), []
        assert list(skipped.read(path)) == ["test"] * start
        list(feed.evaluation("test", None))
        feed.tell(told.append)
        # What was told before is told no more.
        assert len(told) == (start == 0)
        assert skipped.counts(feed.skipped.tallies()) == {"test": COUNTS["test"]}
    for damage in ("{", '{"test": 3}', '{"test": {"examples": 14}}'):
        path.write_text(damage)
        with pytest.raises(ConfigError, match=r"skipped\.json is damaged"):
            skipped.Skipped(path)


def test_names_are_bounded_and_growing_counts_told_at_each_doubling(monkeypatch):
    monkeypatch.setattr(skipped, "MOST", 4)
    source = tiny.encoded(30, broken=range(1, 30))
    loader = pipeline.make_loader(
        source, preprocessing.decode(channels=1), seed=0, on_corrupt="skip"
    )
    found, told = skipped.Skipped(), []
    batches = pipeline.train_batches(loader, 5, order=lambda at, size, count: at % count)
    for _, _ in zip(found.noting("train", loader, batches, padded=False), range(12)):
        found.tell(told.append)
    assert [text.split(" of 30")[0] for text in told] == ["4", "9", "19"]
    tally = found.tallies()["train"]
    assert (tally.examples, tally.skipped) == (30, 29)
    assert list(tally.reasons) == [f"tiny[{row}]" for row in (1, 2, 3, 4)]
    assert told[0].startswith("4 of 30 examples of train were skipped; metrics leave them out:")
    assert told[0].endswith("1 more")


def test_the_first_example_that_can_be_read_gives_the_shapes(tmp_path):
    photographs(tmp_path, "train", 6)
    first = sources.open_source("folder", "train", data_dir=str(tmp_path)).describe(0)
    Path(first).rename(tmp_path / "moved.png")
    Path(first).symlink_to(tmp_path / "gone.png")
    source = sources.open_source("folder", "train", data_dir=str(tmp_path))
    decode = preprocessing.decode(channels=1)
    with pytest.raises(CorruptExample, match=rf"{first}: cannot be read: No such file .*='skip'"):
        pipeline.make_loader(source, decode, seed=0)
    loader = pipeline.make_loader(source, decode, seed=0, on_corrupt="skip")
    assert loader.load(0, 0)["mask"] == 0
    assert loader.load(0, 1)["mask"] == 1


@pytest.mark.parametrize(
    ("operations", "message"),
    [
        ([preprocessing.center_crop(60)], r"center_crop of 60x60 out of uint8 \(8, 8, 1\)"),
        ([], r"image is \(9, 8, 1\) after the preprocessing, but \(8, 8, 1\) in the first"),
    ],
)
def test_an_example_that_does_not_fit_is_named_and_not_skipped(tmp_path, operations, message):
    photographs(tmp_path, "train", 6)
    source = sources.open_source("folder", "train", data_dir=str(tmp_path))
    if not operations:
        Image.new("L", (8, 9)).save(source.describe(3))
    chain = preprocessing.chain([preprocessing.decode(channels=1), *operations])

    def load():
        loader = pipeline.make_loader(source, chain, seed=0, on_corrupt="skip")
        return [loader.load(row, row) for row in range(6)]

    with pytest.raises(UnfitExample, match=rf"{tmp_path}.*png: {message}"):
        load()


def test_examples_that_are_shown_are_such_as_can_be_read(folder):
    trained = opened(folder)
    said = []
    found = predictions.from_split(trained, "test", 8, 0, said.append)
    assert len(found.loaded) == len(found.names) == len(found.labels) == 8
    assert all(example["image"].any() for example in found.loaded)
    (line,) = said
    assert "examples of test cannot be read and were skipped: " in line


def test_image_files_are_turned_and_directories_of_them_read(folder, tmp_path):
    trained = opened(folder)
    shown = tmp_path / "shown"
    photographs(shown, "a", 3)
    (shown / "a" / "loop").symlink_to(shown)
    (shown / "b.pdf").write_bytes(b"?")
    said = []
    found = predictions.from_files(trained, [shown], said.append)
    assert [Path(name).name for name in found.names] == ["00.png", "02.png", "01.png"]
    assert any("is skipped (not an image): b.pdf" in line for line in said)
    turned = tmp_path / "turned.png"
    turned.write_bytes(tiny.turned_photograph())
    with pytest.raises(ConfigError, match=r"turned.png is 4x2x1 after preprocessing"):
        predictions.from_files(trained, [turned])
    (tmp_path / "broken.png").write_bytes(b"?")
    with pytest.raises(ConfigError, match=r"broken.png: image of 1 bytes cannot be dec.*[^)]$"):
        predictions.from_files(trained, [tmp_path / "broken.png"])
    with pytest.raises(ConfigError, match=r"no such image file: .*gone.png"):
        predictions.from_files(trained, [tmp_path / "gone.png"])


@pytest.mark.parametrize("asked", [None, False])
def test_photographs_of_a_folder_are_turned_unless_the_recipe_says_no(tmp_path, asked):
    photographs(tmp_path, "train", 2)
    (tmp_path / "train" / "cat" / "00.png").write_bytes(tiny.turned_photograph())
    (tmp_path / "train" / "dog" / "01.png").write_bytes(tiny.turned_photograph("JPEG"))
    decode = preprocessing.decode(channels=1, exif_orientation=asked)
    source = sources.open_source("folder", "train", data_dir=str(tmp_path))
    shape = (4, 2, 1) if asked is None else (2, 4, 1)
    for each in (source, source._replace(exif_orientation=False)):
        loader = pipeline.make_loader(each, decode, seed=0)
        assert loader.blank["image"].shape == (shape if each is source else (2, 4, 1))
    assert "EXIF orientation" in source.notes[0]


def test_what_another_split_passes_over_is_told_once(folder, tmp_path):
    (folder / "cover.pdf").write_bytes(b"?")
    other = tmp_path / "other"
    photographs(other, "test", 4)
    (other / "test" / "cat" / "x.pdf").write_bytes(b"?")
    values = config(folder) | {"splits": {"other": dict(split="test", data_dir=str(other))}}
    feed, said = Feed(make_plan(values)), []
    for split in ("test", "other", "other"):
        feed.loader(split)
        feed.tell(said.append)
    assert [line.rpartition(": ")[2] for line in said] == ["test/cat/x.pdf"]
