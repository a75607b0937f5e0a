"""Published weights become runs, and runs published weights again."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.training import checkpoints, fine_tuning, importing, session
from library.training.workdir import read_config
from library.weights import catalogue, files
from library.weights.drawn import drawn, zeros
from library.weights.mapping import assign, published_as
from library.weights.published import Published, Reported, Transform

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


def test_nothing_is_written_of_weights_that_do_not_fit(tiny, arrays, tmp_path):
    arrays.pop("bn1.running_mean")
    path = files.write(tmp_path / "tiny.safetensors", arrays)
    with pytest.raises(ConfigError, match=r"bn1\.running_mean .* missing"):
        importing.import_weights("tiny", path, tmp_path / "run", IDENTITY)
    assert not (tmp_path / "run").exists()


def test_a_workdir_in_use_is_left_alone(imported, tmp_path):
    before = (imported / "config.json").read_text()
    with pytest.raises(ConfigError, match="holds a run already"):
        importing.import_weights("tiny", tmp_path / "tiny.safetensors", imported, IDENTITY)
    assert (imported / "config.json").read_text() == before


def test_a_model_without_published_names_is_not_exported(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model": {"name": "mlp"}}))
    with pytest.raises(ConfigError, match="no published names for the model 'mlp'"):
        importing.export_weights(tmp_path, tmp_path / "x.safetensors")
