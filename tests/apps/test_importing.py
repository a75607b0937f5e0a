"""Published weights become runs, and runs published weights again."""

import json
import shlex
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from experiments import command_line
from library.apps import importing, predictions
from library.config import ConfigError
from library.data import sources
from library.run import checkpoints, fine_tuning, session
from library.run.recipe import make_plan
from library.run.workdir import read_config
from library.weights import catalogue, files
from library.weights.drawn import drawn, zeros
from library.weights.mapping import assign, published_as
from library.weights.published import Published, Reported, Transform

PAGE = Path(__file__).resolve().parents[2] / "docs" / "zoo.md"
IDENTITY = {"path": "weights of tiny"}
TINY = Published(
    model=dict(name="resnet.resnet18", width=2),
    rules=catalogue.find("resnet18").rules,
    paper="",
    parameters=0,
    gflops=None,
    transform=Transform(size=32, resize=36, interpolation="bicubic", mean=(0.5,) * 3),
    reported=Reported(12.5, 50.0, "nobody"),
)


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setitem(catalogue.CATALOGUE, "tiny", TINY)


@pytest.fixture
def arrays():
    shapes = TINY.shapes(TINY.build())
    return drawn({name: x.shape for name, x in published_as(zeros(shapes), TINY.rules).items()})


@pytest.fixture
def imported(tiny, arrays, tmp_path):
    path = files.write(tmp_path / "tiny.safetensors", arrays)
    return importing.import_weights("tiny", path, tmp_path / "run", IDENTITY)


def test_a_run_holds_every_array_and_prepares_images_as_the_weights_want_them(imported, arrays):
    _, leaves = checkpoints.load(imported)
    assert leaves["state/step"] == 0
    model = fine_tuning.model_leaves(leaves, ema=False)
    np.testing.assert_array_equal(
        model["params/stage1_block1/conv1/kernel"],
        arrays["layer1.0.conv1.weight"].transpose(2, 3, 1, 0),
    )
    np.testing.assert_array_equal(model["batch_stats/stem_norm/var"], arrays["bn1.running_var"])
    config = json.loads((imported / "config.json").read_text())
    assert config["preprocess"][1:] == [
        {"name": "resize_short", "size": 36, "method": "bicubic"},
        {"name": "center_crop", "size": 32},
    ]
    assert config["normalize"]["mean"] == [0.5, 0.5, 0.5]
    assert config["model"]["width"] == 2
    assert config["reported"] == {"metric": "test/accuracy", "value": 0.125, "source": "nobody"}


def test_what_is_exported_is_what_was_imported(imported, arrays, tmp_path):
    path = importing.export_weights(imported, tmp_path / "again.safetensors")
    again = files.read(path)
    assert again.keys() == arrays.keys()
    for name, array in arrays.items():
        if not name.endswith("num_batches_tracked"):
            np.testing.assert_array_equal(again[name], array)


def test_an_imported_run_computes_the_network(imported, arrays):
    values = read_config(imported)
    values["dataset"] = dict(name="synthetic/40x1000", train="train[:8]", test="test[:8]")
    values |= dict(evaluate={}, reported=None)
    values["dataset"]["batch_size"] = 8
    trained = session.restore(values, imported)
    image = np.random.default_rng(0).uniform(size=(2, 32, 32, 3)).astype(np.float32)
    place = np.arange(2, dtype=np.uint32)
    batch = {"image": image, "index": place, "row": place, "mask": np.ones(2, np.float32)}
    batch = jax.tree.map(jnp.asarray, batch)
    logits = trained.plan.task.outputs["logits"](trained.state, batch, jax.random.key(0))
    model = TINY.build()
    variables = assign(arrays, TINY.rules, TINY.shapes(model), where="")
    expected = model.apply(variables, jnp.asarray(image))
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-5)


def test_an_imported_run_names_a_photograph_without_imagenet(imported, tmp_path, monkeypatch):
    def open_source(name, split, **options):
        raise ConfigError(f"{name} is not prepared")

    monkeypatch.setattr(sources, "open_source", open_source)
    pixels = np.random.default_rng(0).integers(0, 256, (50, 40, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    trained = session.restore(read_config(imported), imported)
    found = predictions.predict(trained, predictions.from_files(trained, [tmp_path / "a.png"]))
    assert found.probabilities.shape == (1, 1000)
    assert (found.label_names[0], found.label_names[-1]) == ("n01440764", "n15075141")


@pytest.fixture
def imagenet(monkeypatch):
    """ImageNet's splits, of four photographs of 300 x 340 pixels."""

    def open_source(name, split, **options):
        arrays = {
            "image": np.zeros((4, 300, 340, 3), np.uint8),
            "label": np.arange(4, dtype=np.int32),
            "real_label": np.arange(8).reshape(4, 2),
        }
        if name != "imagenet2012_real":
            del arrays["real_label"]
        labels = tuple(map(str, range(1000)))
        return sources.from_arrays(arrays, label_names=labels, name=f"{name} {split}")

    monkeypatch.setattr(sources, "open_source", open_source)


def test_a_larger_test_crop_reaches_every_split_of_an_imported_run(imagenet):
    text = PAGE.read_text()
    start = text.index("python -m experiments.evaluate --workdir=runs/resnet50 --config")
    command = text[start : text.index("\n```", start)].replace("\\\n", " ")
    values = importing.recipe(TINY)
    for word in shlex.split(command)[4:]:
        key, _, value = word.removeprefix("--config.").partition("=")
        command_line.override(values, key, value)
    plan = make_plan(values, devices=jax.devices()[:1])
    shapes = {name: plan.splits(name).blank for name in ("test", "v2", "real")}
    assert {name: x["image"].shape for name, x in shapes.items()} == dict.fromkeys(
        ("test", "v2", "real"), (288, 288, 3)
    )
    np.testing.assert_array_equal(
        plan.splits("real").load(0, 3)["label"], np.isin(np.arange(1000), [6, 7])
    )
    assert {"test/accuracy", "v2/accuracy", "real/accuracy"} <= plan.measured


def test_a_test_crop_that_is_larger_than_what_it_is_cut_from(imagenet):
    values = importing.recipe(TINY)
    command_line.override(values, "preprocess.2.size", "37")
    with pytest.raises(ConfigError, match=r"37x37 .* shorter side is 36: valid are 1 to 36, or"):
        make_plan(values, devices=jax.devices()[:1])


def test_images_of_another_size(tiny, arrays, tmp_path):
    path, said = files.write(tmp_path / "tiny.safetensors", arrays), []
    options = dict(size=64, say=said.append)
    run = importing.import_weights("tiny", path, tmp_path / "run", IDENTITY, **options)
    config = json.loads((run / "config.json").read_text())
    assert [step.get("size") for step in config["preprocess"]] == [None, 72, 64]
    assert config.get("reported") is None
    assert said[1] == "images are resized to 72 and cut to 64 instead; no accuracy is claimed"
    with pytest.raises(ConfigError, match=r"--size=100: .*; the default is 224"):
        importing._resized(catalogue.find("vit_b_16"), 100)


def test_which_params_are_exported_is_said(monkeypatch, tmp_path):
    leaves = {
        "state/params/stem_conv/kernel": np.zeros((1, 1, 1, 1), np.float32),
        "state/ema/params/stem_conv/kernel": np.ones((1, 1, 1, 1), np.float32),
    }
    monkeypatch.setattr(checkpoints, "load", lambda workdir, which: (0, leaves))
    config = {"model": dict(name="resnet.resnet50"), "_config": {"network": "resnet50"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    for ema, lines in (
        (True, ["the running averages are written; --noema writes the params"]),
        (False, []),
    ):
        said = []
        path = importing.export_weights(
            tmp_path, tmp_path / "x.safetensors", ema=ema, say=said.append
        )
        assert [line.removesuffix(" themselves") for line in said] == lines
        assert files.read(path)["conv1.weight"] == ema


def test_nothing_is_written_of_weights_that_do_not_fit(tiny, arrays, tmp_path):
    arrays.pop("bn1.running_mean")
    path = files.write(tmp_path / "tiny.safetensors", arrays)
    with pytest.raises(ConfigError, match=r"bn1\.running_mean .* missing"):
        importing.import_weights("tiny", path, tmp_path / "run", IDENTITY)
    assert not (tmp_path / "run").exists()


def test_a_workdir_in_use_is_left_alone(imported, tmp_path):
    before = (imported / "config.json").read_text()
    with pytest.raises(ConfigError, match="already contains a run"):
        importing.import_weights("tiny", tmp_path / "tiny.safetensors", imported, IDENTITY)
    assert (imported / "config.json").read_text() == before


def test_a_model_without_published_names_is_not_exported(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model": {"name": "mlp"}}))
    with pytest.raises(ConfigError, match="no published names for the model 'mlp'"):
        importing.export_weights(tmp_path, tmp_path / "x.safetensors")
