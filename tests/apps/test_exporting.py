"""The weights of runs get the published names of the right network."""

import collections
import json

import numpy as np
import pytest

from library.apps import importing
from library.config import ConfigError
from library.weights import catalogue, files

# Networks for places and faces have the names of the same networks with other classes.
KNOWN = {
    name: each.model["name"]
    for name, each in catalogue.CATALOGUE.items()
    if not name.startswith("facenet") and not name.endswith("places365")
}
# Of these networks others of the catalogue have models of the same factory.
SHARED = collections.Counter(KNOWN.values())
NAMES = [name for name, model in KNOWN.items() if SHARED[model] > 1]
# What the kernels of the stem and the head are called there.
STEMS = {
    "efficientnet": ("features.0.0.weight", "classifier.1.weight"),
    "noisy_student": ("conv_stem.weight", "classifier.weight"),
    "shufflenet_v1": ("features.init_block.conv.weight", "output.weight"),
    "vit_torchvision": ("conv_proj.weight", "heads.head.weight"),
    "vit_timm": ("patch_embed.proj.weight", "head.weight"),
}


def expected(name):
    family = name.rpartition("_")[0]
    if name.startswith(("vit", "deit")):
        family = "vit_timm" if name.endswith("_224") else "vit_torchvision"
    return set(STEMS[family])


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Makes a run of a model, of whose leaves two are kept."""

    def make(model, **identity):
        (tmp_path / "config.json").write_text(json.dumps({"model": model, "_config": identity}))
        stem = "patches" if model["name"].startswith("vit") else "stem_conv"
        leaves = {
            f"state/params/{stem}/kernel": np.zeros((1, 1, 1, 1), np.float32),
            "state/params/head/kernel": np.zeros((1, 1), np.float32),
        }
        monkeypatch.setattr(importing.checkpoints, "load", lambda workdir, which: ({}, leaves))
        return tmp_path

    return make


def exported(workdir, said, **options):
    path = importing.export_weights(workdir, workdir / "x.safetensors", say=said.append, **options)
    return files.read(path).keys()


@pytest.mark.parametrize("name", NAMES)
def test_a_network_that_shares_its_model_keeps_its_names(run, name):
    model, said = dict(catalogue.find(name).model, num_classes=7), []
    assert exported(run(model, network=name), said) == expected(name)
    assert said == []
    assert exported(run(model), said, network=name) == expected(name)
    # A run tells by itself what its model is, but not whose names one of several is to have.
    if not model["name"].startswith("vit"):
        assert exported(run(model), said) == expected(name)
        assert said == []


def test_who_else_has_names_for_the_same_model_is_said(run):
    workdir, said = run(dict(name="vit.vit_b32", num_classes=10)), []
    assert exported(workdir, said) == set(STEMS["vit_torchvision"])
    assert said == ["the names are those of vit_b_32; for others add --as=vit_base_patch32_224"]
    # Those of timm's two networks are the same, and nothing is to be chosen.
    assert exported(run(dict(name="vit.vit_ti16")), said) == set(STEMS["vit_timm"])
    assert len(said) == 1


def test_what_was_imported_with_other_weights_keeps_its_networks_names(run):
    workdir = run(dict(name="resnet.resnet50"), network="resnet50")
    assert exported(workdir, []) == {"conv1.weight", "fc.weight"}
    assert exported(workdir, [], network="resnet50.v2") == {"conv1.weight", "fc.weight"}


def test_names_of_a_network_that_the_run_is_not(run):
    workdir = run(dict(name="resnet.resnet50"))
    with pytest.raises(ConfigError, match=r"is not a vit_b_16: no row .* names params/stem_conv/"):
        importing.export_weights(workdir, workdir / "x.safetensors", network="vit_b_16")
    with pytest.raises(ConfigError, match="unknown network 'resnet5'"):
        importing.export_weights(workdir, workdir / "x.safetensors", network="resnet5")
    assert not (workdir / "x.safetensors").exists()
