"""A workdir that was copied to a place without data does the same there, bit for bit."""

import importlib.util
import json
import shutil

import jax
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from experiments import interactive
from library.config import ConfigError
from library.data import sources
from library.reporting import report
from library.run import session
from library.run.clock import Clock
from tests import families, tiny

DECODE = dict(name="decode", channels=1)
CLASSIFIER = dict(
    model=tiny.CONV,
    ema=dict(decay=0.9),
    augment=[dict(name="flip_lr")],
    evaluate=dict(test=dict(kind="metrics")),
)
CASES = ["classifier", *families.FAMILIES]
# What each makes of image files, and what it makes without any.
OF_IMAGES = {
    "classifier": "probabilities",
    "autoencoder": "reconstruct",
    "layerwise": "denoise",
    "vae": "reconstruct",
    "simclr": "features",
    "mae": "masked_reconstruct",
    "unet": "overlay",
    "detector": "overlay",
}
# What Python makes of images, where `generate` draws what is known beside it.
IN_PYTHON = {**OF_IMAGES, "unet": "prediction", "detector": "detections"}
OF_NOTHING = {"vae": "sample", "gan": "sample", "diffusion": "sample", "descent": "sample"}
TEXT = ("gpt", "lstm")
GRAPHS = ("nodes", "atoms")
WORDS = ("masked_language", "given_vectors")
MUSIC = ("piano_roll", "harmonization")
WITHOUT_IMAGES = (
    *(*TEXT, *WORDS, *GRAPHS, "translator", "tagging", "speech", "ctc", "echo_state"),
    *(*MUSIC, "imputation", "descent", "forecasting"),
)
# JAX writes programs with flatbuffers.
FORMATS = ["run", *["stablehlo"] * bool(importlib.util.find_spec("flatbuffers"))]
# Their evaluators draw samples and open no split.
EVALUATED = ("vae", "gan", "diffusion", "descent", *TEXT)


def recipe(case):
    ended = dict(total="2 steps", log_every="2 steps")
    if case == "classifier":
        return tiny.config(**ended, **CLASSIFIER, preprocess=[DECODE])
    values = families.config(case)
    decode = [] if case in WITHOUT_IMAGES else [DECODE]
    return {**values, **ended, "preprocess": [*decode, *values.get("preprocess", [])]}


def requests(case, picture):
    """Lists the programs that need no split, and their flags."""
    found = [("report",)]
    if case in OF_IMAGES:
        found.append(("generate", f"--output={OF_IMAGES[case]}", f"--images={picture}"))
    if case in OF_NOTHING:
        found.append(("generate", "--num=4", "--seed=3", "--save_arrays"))
    if case in TEXT:
        found.append(("generate", "--prompt=ab", "--length=8", "--num=2"))
    if case == "translator":
        words = picture.with_suffix(".txt")
        words.write_text("abc\nbad\n")
        found.append(("generate", "--output=translate", f"--input={words}"))
    if case == "classifier":
        found.append(("explain", "--methods=gradient,filters", f"--images={picture}"))
        found.append(("explain", "--attack=pgd", "--steps=2", f"--images={picture}"))
    return found


def used(program, case, folder, picture):
    """Returns what the programs print and write, and what Python returns."""
    told = {}
    for name, *flags in requests(case, picture):
        ended = program(name, f"--workdir={folder}", *flags)
        told[(name, *flags)] = (ended.code, ended.out.replace(str(folder), ""), ended.err)
    written = {
        str(path.relative_to(folder)): path.read_bytes()
        for part in ("generated", "explained")
        for path in sorted((folder / part).rglob("*"))
        # An archive holds the time of its files.
        if path.is_file() and path.suffix != ".npz"
    }
    run, made = interactive.load(folder), {}
    if case in OF_IMAGES:
        made["of images"] = run.outputs[IN_PYTHON[case]](picture)
    if case in OF_NOTHING:
        made["of nothing"] = run.sample(num=4, seed=3)
    if case in TEXT:
        made["text"] = np.array(run.generate("ab", length=8, num=2))
    return told, written, exported(program, folder, case), jax.tree.map(np.asarray, made)


def exported(program, folder, case):
    """Returns what the program prints and writes for each format, by the names of the files."""
    found = {}
    for form in FORMATS if case not in GRAPHS else ["run"]:
        to = folder.parent / f"as_{form}"
        ended = program("zoo", "export", f"--workdir={folder}", f"--to={to}", f"--format={form}")
        assert (ended.code, ended.out) == (0, f"{to}\n"), ended.err
        # The test takes parts of the record out of one of the two workdirs.
        written = [path for path in to.iterdir() if path.name != "data.json"]
        found[form] = {path.name: path.read_bytes() for path in written}
    return found


def refuse(name, split, **options):
    if name == "none":
        return sources.without_data()
    raise ConfigError(f"{name} is not prepared")


@pytest.mark.full
@pytest.mark.parametrize("case", CASES)
def test_a_copy_without_data_does_the_same(program, tmp_path, monkeypatch, case):
    families.serve(monkeypatch)
    beside, bare = tmp_path / "beside" / "run", tmp_path / "bare" / "run"
    with monkeypatch.context() as patch:
        patch.setattr(report, "write_report", lambda folder: None)
        assert session.train(recipe(case), {}, beside, Clock(), Console(quiet=True)) == 0
    shutil.copytree(beside, bare)
    # Without this, the training split is opened.
    kept = json.loads((beside / "data.json").read_text())
    del kept["kinds"], kept["evaluated"]
    (beside / "data.json").write_text(json.dumps(kept))
    picture = tmp_path / "a.png"
    Image.fromarray(tiny.arrays(1, size=families.SIZE)["image"][0, ..., 0]).save(picture)

    theirs = used(program, case, beside, picture)
    measured = program("evaluate", f"--workdir={beside}")
    monkeypatch.setattr(sources, "open_source", refuse)
    ours = used(program, case, bare, picture)
    assert ours[0] == theirs[0]
    assert {code for code, _, _ in ours[0].values()} <= ({0} if case != "simclr" else {0, 2})
    assert ours[1] == theirs[1]
    assert ours[2] == theirs[2]
    jax.tree.map(np.testing.assert_array_equal, ours[3], theirs[3])
    ended = program("evaluate", f"--workdir={bare}")
    if case in EVALUATED:
        assert (ended.code, ended.out.replace(str(bare), str(beside))) == (0, measured.out)
    else:
        assert (ended.code, ended.err.count("\n")) == (2, 1)
        assert "is not prepared" in ended.err or "names no evaluators" in ended.err
    if case == "classifier":
        ended = program("compress", f"--workdir={bare}")
        assert (ended.code, ended.err) == (2, "error: tiny is not prepared\n")
