"""A run goes on, and is read, with the data that it was trained on, and with no others."""

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from library.config import ConfigError
from library.data import text as documents
from library.reporting import report
from library.run import data_record, session
from library.run.clock import Clock
from tests import families, tiny

VERSE = "First the rat, then the cat, and at last the dog.\n" * 8
ENDED = dict(total="2 steps", evaluate={}, log_every="2 steps")


@pytest.fixture(autouse=True)
def no_reports(monkeypatch):
    monkeypatch.setattr(report, "write_report", lambda folder: None)


def train(values, folder):
    return session.train(values, {}, folder, Clock(), Console(quiet=True))


def of_text(data_dir, **changes):
    dataset = dict(name="text", data_dir=str(data_dir), cache="none")
    return families.config("lstm", **{**ENDED, **changes}, dataset=dataset)


def of_images(data_dir, **changes):
    dataset = dict(name="folder", data_dir=str(data_dir))
    decoded = dict(preprocess=[dict(name="decode", channels=1)])
    test = dict(evaluate=dict(test=dict(kind="metrics")))
    return tiny.config(**{**ENDED, **decoded, **test, **changes}, dataset=dataset)


def write_images(root, classes=("cat", "dog"), rows=range(10)):
    for split in ("train", "test"):
        for name in classes:
            (root / split / name).mkdir(parents=True, exist_ok=True)
            for i in rows:
                image = np.full((8, 8), 10 * i + len(name), np.uint8)
                Image.fromarray(image).save(root / split / name / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def text_run(tmp_path_factory):
    root = tmp_path_factory.mktemp("text")
    (root / "verse.txt").write_text(VERSE)
    return _trained(of_text(root / "verse.txt"), root)


@pytest.fixture(scope="module")
def image_run(tmp_path_factory):
    root = tmp_path_factory.mktemp("images")
    return _trained(of_images(write_images(root / "pets")), root)


def _trained(values, root: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "write_report", lambda folder: None)
        assert train(values, root / "run") == 0
    return root


@pytest.fixture
def text(text_run, tmp_path):
    """A folder of its own with the text, `verse.txt`, and the run."""
    return Path(shutil.copytree(text_run, tmp_path / "text"))


@pytest.fixture
def images(image_run, tmp_path):
    """A folder of its own with the images, `pets`, and the run."""
    return Path(shutil.copytree(image_run, tmp_path / "images"))


def unfinished(folder):
    """Makes it look as if the run had been stopped before its end."""
    (folder / "summary.json").unlink()
    return folder


# The same text with as many characters, some of them others.
EDITED = VERSE.replace("t", "u")


def test_a_text_that_was_edited_is_refused_when_it_is_read_and_the_run_is_resumed(text):
    values = of_text(text / "verse.txt")
    assert session.restore(values, text / "run").step == 2
    (text / "verse.txt").write_text(EDITED)
    run = session.restore(values, text / "run")
    for split in ("train", "test"):
        with pytest.raises(ConfigError, match=r"verse\.txt.* changed"):
            run.feed.loader(split)
    with pytest.raises(ConfigError, match=r"verse\.txt changed"):
        train(values, unfinished(text / "run"))


def test_a_class_that_was_renamed_is_refused(images):
    values = of_images(images / "pets")
    assert session.restore(values, images / "run").plan.label_names == ("cat", "dog")
    for split in ("train", "test"):
        (images / "pets" / split / "cat").rename(images / "pets" / split / "feline")
    with pytest.raises(ConfigError, match="class 0 was 'cat' and is 'dog'") as caught:
        session.evaluate(values, images / "run")
    assert "\n" not in str(caught.value)
    assert str(images / "run") in str(caught.value)


def test_images_that_were_added_are_refused_when_the_run_is_resumed(images):
    values = of_images(images / "pets")
    write_images(images / "pets", rows=range(10, 15))
    with pytest.raises(ConfigError, match="20 images were there, now 30"):
        train(values, unfinished(images / "run"))
    assert not (images / "run" / "summary.json").exists()


def test_what_a_run_keeps_of_its_data(text, images):
    kept = data_record.read(text / "run")
    windows = int(0.9 * len(VERSE)) - 1
    assert kept.features["tokens"] == ((9,), "int32")
    assert kept.label_names is None
    assert kept.num_examples == windows // 8
    assert kept.tokenizer["spec"] == {"name": "character"}
    assert kept.tokenizer["fitted"]["characters"] == sorted(set(VERSE))
    assert {stage: list(x.parts) for stage, x in kept.fingerprints.items()} == {
        "train": ["verse.txt"],
        "test": [f"verse.txt[{windows + 1}:]"],
    }
    kept = data_record.read(images / "run")
    assert kept.features == {"image": ((8, 8, 1), "uint8"), "label": ((), "int32")}
    assert kept.label_names == ("cat", "dog")
    assert kept.num_examples == 20
    assert kept.tokenizer is None
    assert kept.kinds == {"image": "image", "label": "label"}
    assert kept.evaluated == kept.features


def test_data_may_move(text, images):
    (text / "elsewhere").mkdir()
    (text / "verse.txt").rename(text / "elsewhere" / "poem.txt")
    values = of_text(text / "elsewhere" / "poem.txt")
    assert session.restore(values, text / "run").step == 2
    assert train(values, text / "run") == 0
    (images / "pets").rename(images / "animals")
    assert "test/accuracy" in session.evaluate(of_images(images / "animals"), images / "run")[1]


def test_the_vocabulary_is_read_and_not_made_anew(text, monkeypatch):
    monkeypatch.setattr(documents, "_texts", None)
    run = session.restore(of_text(text / "verse.txt"), text / "run")
    assert run.plan.loader.source.tokenizer.names == tuple(sorted(set(VERSE)))


def test_of_the_test_data_only_what_is_opened_is_compared(images):
    values = of_images(images / "pets")
    shutil.rmtree(images / "pets" / "test")
    shutil.copytree(images / "pets" / "train", images / "pets" / "test")
    (images / "pets" / "test" / "dog" / "0.png").unlink()
    assert session.restore({**values, "evaluate": {}}, images / "run").step == 2
    with pytest.raises(
        ConfigError, match=r"the test data .*20 images were there, now 19; dog changed"
    ):
        session.evaluate(values, images / "run")
    # Other data to evaluate on are named by the config, or by flags.
    named = dict(other=dict(split="test"))
    evaluated = dict(other=dict(kind="metrics", split="other"))
    both = {**values, "splits": named, "evaluate": evaluated}
    assert "other/accuracy" in session.evaluate(both, images / "run")[1]
    given = {**values, "dataset": {**values["dataset"], "test": "train+test"}}
    assert "test/accuracy" in session.evaluate(given, images / "run")[1]


def test_a_run_is_asked_for_what_it_was_trained_on_where_flags_name_other_data(images, tmp_path):
    values = of_images(images / "pets")
    noise = dict(name="synthetic/8x2x1", train="train[:4]", test="test[:4]", data_dir=None)
    given = {**values, "dataset": {**values["dataset"], **noise}, "preprocess": []}
    plan = session.restore(given, images / "run").plan
    assert plan.label_names == ("cat", "dog")
    assert len(plan.loader.source.records) == 4
    given["dataset"]["name"] = "synthetic/8x3x1"
    with pytest.raises(ConfigError, match="has 3 classes, and the training data have 2"):
        session.restore(given, images / "run")


def test_an_older_run_is_read_with_a_warning_and_trained_on(text, capsys):
    values = of_text(text / "verse.txt")
    (text / "run" / "data.json").rename(text / "kept.json")
    assert session.restore(values, text / "run").step == 2
    warning = f"warning: {text / 'run'} has no data.json: changes of its data cannot be noticed"
    assert capsys.readouterr().err == f"{warning}\n"
    console = Console(file=io.StringIO(), soft_wrap=True)
    assert session.train(values, {}, unfinished(text / "run"), Clock(), console) == 0
    assert warning in console.file.getvalue()
    assert (text / "run" / "data.json").read_text() == (text / "kept.json").read_text()
    session.restore(values, text / "run")
    assert capsys.readouterr().err == ""


def test_another_config_is_refused_before_other_data(text):
    (text / "verse.txt").write_text(EDITED)
    with pytest.raises(ConfigError, match="belongs to another config, which differs in seed"):
        train(of_text(text / "verse.txt", seed=1), text / "run")
