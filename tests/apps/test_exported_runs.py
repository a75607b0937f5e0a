"""A run is exported as a folder, and what is imported from it is the same to the bit."""

import json
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from library.apps import compressing, exporting
from library.config import ConfigError
from library.run import checkpoints, data_record, exported, session
from library.run.clock import Clock
from library.run.workdir import read_config
from library.weights import files
from tests import families, often, saved, tiny
from tests.run import test_without_data as whole

KEPT = ("params", "variables", "ema", "step")
ROWS = [
    {"step": 3, "wall_time": 1.0, "train/loss": 2.0, "test/accuracy": 0.25},
    {"step": 7, "wall_time": 2.0, "train/loss": 1.0, "train/learning_rate": 0.1},
    {"step": 9, "wall_time": 3.0, "test/accuracy": 0.75},
]
SUMMARY = {
    "commit": "0123456789abcdef",
    "dirty": False,
    "versions": {"jax": "0.0.1"},
    "device": {"platform": "cpu", "cores": 2},
    "wall_time": 61.0,
}
CLAIM = dict(metric="test/accuracy", value=0.2, source="a paper")


@pytest.fixture(autouse=True)
def served(monkeypatch):
    families.serve(monkeypatch)


def exported_and_imported(workdir, folder):
    exporting.export_run(workdir, folder / "exported")
    return exporting.import_run(folder / "exported", folder / "imported")


def bits(leaves):
    """Returns what an export keeps of a checkpoint, as types, shapes and bytes."""
    return {
        path: (str(x.dtype), x.shape, x.tobytes())
        for path, x in leaves.items()
        if path.split("/")[1] in KEPT
    }


EVERY = often.only(["unet", "lstm"], families.FAMILIES)


@pytest.mark.parametrize("family", EVERY)
def test_a_run_of_every_family_comes_back_to_the_bit(family, tmp_path):
    values = families.config(family, parallel=dict(mesh=dict(data=1)))
    saved.run(values, tmp_path / "run")
    imported = exported_and_imported(tmp_path / "run", tmp_path)
    (before, theirs), (after, ours) = map(checkpoints.load, (tmp_path / "run", imported))
    assert (before, bits(theirs)) == (after, bits(ours))
    assert read_config(imported) == read_config(tmp_path / "run")
    record, again = (data_record.read(folder) for folder in (tmp_path / "run", imported))
    assert again._replace(workdir="") == record._replace(workdir="")
    # What is exported again is the same folder.
    exporting.export_run(imported, tmp_path / "again")
    for path in (tmp_path / "exported").iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes(), path.name


@pytest.mark.full
@pytest.mark.parametrize("family", families.FAMILIES)
def test_what_a_run_of_every_family_makes_stays(family, tmp_path):
    values = families.config(family, **whole.ENDED)
    run = whole.finished(values, tmp_path / "run")
    imported = exported_and_imported(run, tmp_path)
    examples = [whole.make_plan(values).splits("test").load(row, row) for row in range(8)]
    beside, again = (
        whole.made(values, folder, whole.MADE[family], examples)[0] for folder in (run, imported)
    )
    jax.tree.map(np.testing.assert_array_equal, again, beside)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier")
    run = whole.finished(whole.CLASSIFIER, folder / "run")
    with pytest.MonkeyPatch.context() as patch:
        families.serve(patch)
        return run, exported_and_imported(run, folder)


@pytest.mark.full
def test_an_imported_classifier_is_used_as_the_run_is(classifier, tmp_path, monkeypatch):
    run, imported = classifier
    assert session.evaluate(whole.CLASSIFIER, imported) == session.evaluate(whole.CLASSIFIER, run)
    photograph = tmp_path / "a.png"
    whole.Image.fromarray(tiny.arrays(1, size=7)["image"][0, ..., 0]).save(photograph)
    beside, again = (whole.used(folder, photograph) for folder in (run, imported))
    assert beside.keys() == again.keys()
    for name, values in beside.items():
        np.testing.assert_array_equal(again[name], values, err_msg=name)


@pytest.mark.full
def test_an_imported_classifier_is_compressed_as_the_run_is(classifier):
    def compressed(folder):
        trained = session.restore(whole.CLASSIFIER, folder)
        return compressing.sweep(trained, compressing.Asked(sparsity=(0.5,), energy=(0.5,)))

    assert compressed(classifier[1]) == compressed(classifier[0])


def test_an_imported_run_is_not_trained_on(tmp_path):
    values = tiny.config(compile_cache=None)
    saved.run(values, tmp_path / "run")
    imported = exported_and_imported(tmp_path / "run", tmp_path)
    with pytest.raises(ConfigError, match=r"holds an imported run, .*config.init_from.workdir="):
        session.train(values, {}, imported, Clock(), Console(quiet=True))


ARRAYS = {
    "params/a/kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
    "params/a/half": np.arange(3).astype(jnp.bfloat16),
    "params/a/short": np.arange(3, dtype=np.float16),
    "variables/queue/place": np.array(3, np.int32),
    "variables/queue/key": np.array([2**32 - 1, 1], np.uint32),
    "variables/masks/a": np.array([True, False]),
    "variables/counts/a": np.array([2**16 - 1], np.uint16),
    "variables/empty/a": np.zeros((0, 3), np.int8),
    "step": np.array(5, np.int32),
}
KNOWN = dict(which="best", step=5, finished=True, metrics={}, result=None)


def source(folder):
    """Makes a workdir of which only the config is read."""
    folder.mkdir()
    config = {"model": dict(name="mlp"), "_config": {"format": 2, "path": "a.py"}}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_arrays_keep_their_types_shapes_and_bits(tmp_path):
    folder = tmp_path / "exported"
    exported.write(source(tmp_path / "run"), folder, ARRAYS, KNOWN, "# a page\n")
    step, leaves = exported.read(folder, which="best")
    assert step == 5
    assert bits(leaves) == bits({f"state/{path}": x for path, x in ARRAYS.items()})
    assert files.read(folder).keys() == ARRAYS.keys()
    assert (folder / "README.md").read_text() == "# a page\n"
    assert {path.name for path in folder.iterdir()} == {
        *("model.safetensors", "config.json", "README.md"),
    }
    with pytest.raises(ConfigError, match="holds the best checkpoint of its run, not the latest"):
        exported.read(folder, which="latest")


def flipped(folder):
    path = folder / exported.MODEL
    path.write_bytes(path.read_bytes()[:-1] + b"\x07")


def cut(folder):
    path = folder / exported.MODEL
    path.write_bytes(path.read_bytes()[:-4])


def foreign(folder):
    (folder / "config.json").write_text(json.dumps({"architectures": ["Resnet"]}))


def stateless(folder):
    values = json.loads((folder / "config.json").read_text())
    del values["_config"]["exported"]["step"]
    (folder / "config.json").write_text(json.dumps(values))


DAMAGE = {
    "does not match its checksum": flipped,
    "cannot be read: ": cut,
    "is no exported run; name a folder that": foreign,
    "is no exported run: it has no config.json": lambda folder: (folder / "config.json").unlink(),
    "has no model.safetensors": lambda folder: (folder / exported.MODEL).unlink(),
    "_config.exported states no step": stateless,
    "is a workdir; name a folder that": lambda folder: (
        foreign(folder),
        (folder / "checkpoints").mkdir(),
    ),
    "is damaged: ": lambda folder: (folder / "config.json").write_text("{"),
}


@pytest.mark.parametrize("message", DAMAGE)
def test_a_damaged_or_foreign_folder_gives_a_line_and_no_workdir(message, tmp_path):
    folder = tmp_path / "exported"
    exported.write(source(tmp_path / "run"), folder, ARRAYS, KNOWN, "")
    DAMAGE[message](folder)
    with pytest.raises(ConfigError, match=message) as raised:
        exporting.import_run(folder, tmp_path / "imported")
    assert len(str(raised.value).splitlines()) == 1
    assert not (tmp_path / "imported").exists()


def test_arrays_that_do_not_fit_the_config_are_named(tmp_path):
    saved.run(tiny.config(), tmp_path / "run")
    folder = exporting.export_run(tmp_path / "run", tmp_path / "exported")
    arrays = files.read(folder / exported.MODEL)
    arrays["params/head/bias"] = arrays["params/head/bias"][:2]
    arrays["params/neck/bias"] = arrays.pop("params/head/kernel")
    files.write(folder / exported.MODEL, arrays)
    values = json.loads((folder / "config.json").read_text())
    values["_config"]["exported"]["sha256"] = exported._digest(folder / exported.MODEL)
    (folder / "config.json").write_text(json.dumps(values))
    message = (
        r"do not fit its config: params/head/bias is float32 \(2,\), and its config makes "
        r"float32 \(4,\); params/head/kernel is missing; params/neck/bias has no place"
    )
    with pytest.raises(ConfigError, match=message):
        exporting.import_run(folder, tmp_path / "imported")


def test_nothing_is_lost_or_half_written(tmp_path):
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "mine.txt").write_text("mine")
    run = source(tmp_path / "run")
    with pytest.raises(ConfigError, match="taken is not empty; name a folder that does not exist"):
        exported.write(run, taken, ARRAYS, KNOWN, "")
    with pytest.raises(ConfigError, match=r"mine\.txt is a file; name a folder"):
        exported.write(run, taken / "mine.txt", ARRAYS, KNOWN, "")
    assert [path.name for path in taken.iterdir()] == ["mine.txt"]
    odd = {**ARRAYS, "params/odd": np.zeros(1, np.complex64)}
    with pytest.raises(ConfigError, match="params/odd is complex64; valid are float64, "):
        exported.write(run, tmp_path / "new", odd, KNOWN, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "taken"]


def test_the_page_says_what_the_run_is(tmp_path):
    values = tiny.config(reported=CLAIM, ema=dict(decay=0.9))
    values["evaluate"] = dict(test=dict(kind="metrics", every="3 steps"))
    overrides = {"optimizer.learning_rate": "0.1"}
    saved.run(values, tmp_path / "run", overrides=overrides)
    rows = "".join(json.dumps(row) + "\n" for row in ROWS)
    (tmp_path / "run" / "metrics.jsonl").write_text(rows)
    (tmp_path / "run" / "summary.json").write_text(json.dumps(SUMMARY))
    folder = exporting.export_run(tmp_path / "run", tmp_path / "exported")
    text = (folder / "README.md").read_text()
    params = 64 * 5 + 5 + 5 * 4 + 4
    for part in (
        "# configs/cnn/digits.py\n",
        "| System | Small CNN (LeCun et al. 1989, ",
        f"| Network | `mlp.mlp`, {params} params |",
        "| Dataset | tiny, split `train`, 4 classes: a, b, c, d |",
        "| Checkpoint | latest, step 7; finished run |",
        "| Command | `python -m experiments.train --config=configs/cnn/digits.py` |",
        "| Commit | 0123456 |",
        "| Versions | jax 0.0.1 |",
        "| test/accuracy | 25.00% | 20.00% | - |",
        "| train/loss | 1 |  |  |",
        "Source of the reported value: a paper.",
        "this run overrides `optimizer.learning_rate`.",
        "4 running averages `ema/...`",
        "zoo import FOLDER --workdir=",
    ):
        assert part in text, (part, text)
    # Nothing of this machine, nor of the steps after the checkpoint.
    assert "nowhere" not in text + (folder / "config.json").read_text()
    assert "75.00" not in text


def test_an_export_of_a_run_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        exporting.export_run(tmp_path / "nowhere", tmp_path / "exported")
    saved.run(tiny.config(), tmp_path / "run")
    with pytest.raises(ConfigError, match="holds no best checkpoint"):
        exporting.export_run(tmp_path / "run", tmp_path / "exported", which="best")
    shutil.copytree(tmp_path / "run", tmp_path / "used")
    exporting.export_run(tmp_path / "run", tmp_path / "exported")
    with pytest.raises(ConfigError, match="already contains a run"):
        exporting.import_run(tmp_path / "exported", tmp_path / "used")
    assert not Path(tmp_path / "best").exists()
