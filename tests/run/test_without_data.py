"""A finished run is used where its training split cannot be opened, and gives the same bits."""

import json
import shutil

import jax
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from experiments import interactive
from library.apps import attacking, classifier, compressing, generation, predictions
from library.apps.explain import explaining
from library.config import ConfigError
from library.data import sources
from library.reporting import report
from library.run import data_record, restoring, session
from library.run.clock import Clock
from library.run.recipe import make_plan
from tests import families, tiny

ENDED = dict(total="4 steps", log_every="4 steps", evaluate={})
DECODE = dict(name="decode", channels=1)
# Evaluations see larger images than training.
CLASSIFIER = tiny.config(
    **{**ENDED, "evaluate": dict(test=dict(kind="metrics", every="4 steps"))},
    model=tiny.CONV,
    ema=dict(decay=0.9),
    augment=[dict(name="flip_lr")],
    preprocess=dict(
        train=[DECODE, dict(name="random_crop", size=6)],
        test=[DECODE, dict(name="resize", size=9)],
    ),
)
# What each family makes.
MADE = {
    "autoencoder": "reconstruct",
    "layerwise": "denoise",
    "vae": "sample",
    "gan": "sample",
    "diffusion": "sample",
    "simclr": "features",
    "triplet": "features",
    "mae": "masked_reconstruct",
    "unet": "overlay",
    "detector": "overlay",
    "restoration": "restored",
    "colourization": "restored",
    "adversarial_restoration": "restored",
    "yolo": "overlay",
    "angle": "righted",
    "keypoints": "overlay",
    "instances": "overlay",
    "domains": "logits",
    "least_squares": "logits",
    "perceptron": "logits",
    "principal_components": "reconstruct",
    "adaline": "logits",
    "race": "logits",
    "imputation": "imputed",
    "descent": "sample",
    "nodes": "node_logits",
    "atoms": "features",
    "gpt": "generate",
    "lstm": "generate",
    "masked_language": "filled",
    "given_vectors": "features",
    "translator": "translate",
    "tagging": "prediction",
    "visual_explanation": "caption",
    "piano_roll": "sample",
    "harmonization": "arrangement",
    "speech": "logits",
    "ctc": "transcript",
    "echo_state": "logits",
    "forecasting": "prediction",
}


def finished(values, folder):
    """Trains a run to its end."""
    with pytest.MonkeyPatch.context() as patch:
        families.serve(patch)
        patch.setattr(report, "write_report", lambda folder: None)
        assert session.train(values, {}, folder, Clock(), Console(quiet=True)) == 0
    return folder


def beside_data(folder, copy):
    """Copies a run without what stands for its training split, which is then opened."""
    shutil.copytree(folder, copy)
    kept = json.loads((folder / "data.json").read_text())
    del kept["kinds"], kept["evaluated"]
    (copy / "data.json").write_text(json.dumps(kept))
    return copy


def without(patch, *splits):
    """Lets no split be opened, or none of these."""
    served = sources.open_source

    def open_source(name, split, **options):
        # What has no data is always there.
        if name != "none" and (not splits or split in splits):
            raise ConfigError(f"{name} is not prepared")
        return served(name, split, **options)

    patch.setattr(sources, "open_source", open_source)


@pytest.fixture
def served(monkeypatch):
    families.serve(monkeypatch)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return finished(CLASSIFIER, tmp_path_factory.mktemp("classifier") / "run")


@pytest.fixture(scope="module")
def photograph(tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "a.png"
    Image.fromarray(tiny.arrays(1, size=7)["image"][0, ..., 0]).save(path)
    return path


def used(folder, photograph):
    """Returns what `generate`, `explain`, an attack and Python make of an image file."""
    trained = session.restore(CLASSIFIER, folder, check=classifier.check)
    network = classifier.network(trained)
    examples = predictions.from_files(trained, [photograph])
    found = predictions.predict(trained, examples)
    subject = explaining.subject(trained, network, examples)
    pictures = explaining.pictures(subject, ["gradient", "filters"])
    misled = attacking.attack(network, examples, attacking.Attack("pgd", 0.1, steps=2))
    assert found.images.shape == (1, 9, 9, 1)
    assert found.label_names == list(tiny.CLASSES) == list(network.label_names)
    return {
        "probabilities": found.probabilities,
        "in Python": interactive.load(folder).probabilities(photograph),
        "changed": misled.changed,
        **{picture.name: np.frombuffer(picture.png, np.uint8) for picture in pictures},
    }


def test_a_classifier_is_used_without_any_data(run, photograph, served, monkeypatch, tmp_path):
    older = beside_data(run, tmp_path / "older")
    beside = used(older, photograph)
    without(monkeypatch)
    bare = used(shutil.copytree(run, tmp_path / "bare"), photograph)
    assert beside.keys() == bare.keys()
    for name, values in beside.items():
        np.testing.assert_array_equal(bare[name], values, err_msg=name)
    # A run of an older version keeps too little for it.
    with pytest.raises(ConfigError, match="tiny is not prepared"):
        session.restore(CLASSIFIER, older)


def test_only_the_split_that_is_asked_for_is_opened(run, served, monkeypatch, tmp_path):
    beside = session.evaluate(CLASSIFIER, beside_data(run, tmp_path / "older"))
    without(monkeypatch, "train")
    assert session.evaluate(CLASSIFIER, run) == beside
    trained = session.restore(CLASSIFIER, run)
    assert len(predictions.from_split(trained, "test", 3, seed=0).loaded) == 3
    with pytest.raises(ConfigError, match="tiny is not prepared"):
        predictions.from_split(trained, "train", 3, seed=0)
    # Nothing was loaded of the training split, and nothing can be.
    with pytest.raises(ConfigError, match="'train' is not open: this plan was made with trains="):
        _ = trained.feed.first


def test_a_training_split_that_is_opened_later_is_compared(run, monkeypatch):
    with pytest.MonkeyPatch.context() as patch:
        families.serve(patch)
        trained = session.restore(CLASSIFIER, run)
        assert len(trained.feed.loader("train").source.records) == 50
    tiny.serve(monkeypatch, train=tiny.arrays(49, size=8))
    trained = session.restore(CLASSIFIER, run)
    with pytest.raises(ConfigError, match="the training data differ from those of the run in"):
        trained.feed.loader("train")


def test_a_judge_needs_no_data(run, monkeypatch, tmp_path):
    judging = shutil.copytree(run, tmp_path / "judge")
    without(monkeypatch)
    image = jax.numpy.zeros((2, 9, 9, 1))
    assert restoring.judge(make_plan, str(judging), "logits")(image).shape == (2, 4)


@pytest.mark.full
def test_a_network_is_compressed_without_its_training_split(run, served, monkeypatch, tmp_path):
    def compressed(folder):
        trained = session.restore(CLASSIFIER, folder)
        return compressing.sweep(trained, compressing.Asked(sparsity=(0.5,), energy=(0.5,)))

    beside = compressed(beside_data(run, tmp_path / "older"))
    without(monkeypatch, "train")
    assert compressed(run) == beside


def made(values, folder, output, examples):
    """Returns an output of a run, and what its plan knows of the data."""
    trained = session.restore(values, folder)
    plan, request = trained.plan, generation.Request(num=8)
    known = {
        "blank": data_record.features(plan.loader.blank),
        "kinds": list(plan.loader.kinds.items()),
        "evaluated": data_record.features(plan.splits.evaluated().blank),
        "names": plan.label_names,
        "steps": (plan.total_steps, plan.loader.source.examples_per_epoch),
        "state": jax.tree.map(lambda x: (x.shape, x.dtype), plan.state),
    }
    if output == "generate":
        return generation.texts(trained, request, length=8), known
    if output == "sample":
        return generation.images(trained, request), known
    collect = trained.feed.context().collect(
        lambda state, batch, key: {"made": plan.task.outputs[output](state, batch, key)}
    )
    batch = plan.loader.batch(examples)
    return jax.tree.map(np.asarray, collect(trained.state, plan.strategy.put(batch))), known


@pytest.mark.full
@pytest.mark.parametrize("family", families.FAMILIES)
def test_every_family_is_used_without_any_data(family, tmp_path, served, monkeypatch):
    values = families.config(family, **ENDED)
    run = finished(values, tmp_path / "run")
    loader = make_plan(values).splits("test")
    examples = [loader.load(row, row) for row in range(8)]
    beside = made(values, beside_data(run, tmp_path / "older"), MADE[family], examples)
    without(monkeypatch)
    bare = made(values, run, MADE[family], examples)
    assert bare[1] == beside[1]
    jax.tree.map(np.testing.assert_array_equal, bare[0], beside[0])
