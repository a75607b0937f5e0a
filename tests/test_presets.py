"""What recipes share: nothing of one leaks into another, and one rule makes them small."""

import pytest
from ml_collections import ConfigDict

from experiments import config_files
from library import presets

RECIPE = """
from library import presets

VARIANTS = ("full", "smoke")


def get_config(variant):
    config = presets.imagenet(batch_size=64, repeats=2)
    config.preprocess = presets.crops(96, short=110, train=80, method="bicubic", area=[0.2, 1.0])
    config.normalize = presets.IMAGENET_COLOURS
    config.augment = presets.trivial_mixed()
    config.model = dict(name="resnet.resnet18", num_classes=1000)
    config.task = dict(name="classification")
    schedule = dict(name="step", boundaries=["30 epochs", "60 epochs"], warmup="5 epochs")
    config.optimizer = dict(name="sgd", learning_rate=0.1, schedule=schedule)
    config.total = "90 epochs"
    if variant == "smoke":
        presets.shrink(config)
        config.normalize.mean[0] = 9.0
        config.augment[0]["name"] = "flip_ud"
    return config
"""


def load(folder, variant):
    (folder / "own.py").write_text(RECIPE)
    return config_files.load_config(f"{folder / 'own.py'}:{variant}")[0]


def test_a_config_outside_of_the_project_is_made_of_them(tmp_path):
    config = load(tmp_path, "full")
    assert config["dataset"] == dict(
        name="imagenet2012",
        train="train",
        test="validation",
        workers=16,
        threads=2,
        batch_size=64,
        repeats=2,
    )
    crop = dict(name="inception_crop", size=80, method="bicubic", area=[0.2, 1.0])
    short = dict(name="resize_short", size=110, method="bicubic")
    assert config["preprocess"] == dict(
        train=[dict(name="decode"), crop],
        test=[dict(name="decode"), short, dict(name="center_crop", size=96)],
    )


def test_a_language_model_is_measured_and_drawn_from():
    config = presets.text("tiny", every="10%", samples_every="20%", context=8, train="validation")
    assert config.dataset.to_dict() == dict(name="tiny", train="validation", test="test", context=8)
    samples = dict(kind="samples.text", num=4, length=400, every="20%")
    assert config.evaluate.to_dict() == dict(
        test=dict(kind="metrics", every="10%"), samples=samples
    )
    assert config.checkpoint.to_dict() == dict(every="10%", best="test/loss", mode="min")
    prompted = presets.text("tiny", every="5%", prompt="a", length=3).evaluate.samples
    assert prompted.to_dict() == {**samples, "prompt": "a", "length": 3, "every": "5%"}


def test_the_average_of_torchvision_forgets_a_share_of_the_run():
    average = presets.torchvision_average(batch_size=1024, epochs=600)
    assert average == dict(decay=1 - 2e-5 * 1024 * 32 / 600, every=32)


def test_a_recipe_that_is_made_small_keeps_what_it_does_and_loses_its_length(tmp_path):
    full, small = load(tmp_path, "full"), load(tmp_path, "smoke")
    assert small["dataset"] == dict(
        name="synthetic/80x10", train="train[:64]", test="test[:16]", batch_size=8, repeats=2
    )
    assert small["optimizer"]["schedule"] == dict(
        name="step", boundaries=["1 steps", "2 steps"], warmup="1 step"
    )
    assert (small["total"], small["log_every"]) == ("3 steps", "1 step")
    assert small["evaluate"] == dict(test=dict(kind="metrics", every="100%"))
    assert small["checkpoint"] == dict(every="100%", best="test/accuracy")
    for key in ("preprocess", "model", "task", "seed"):
        assert small[key] == full[key]


@pytest.mark.parametrize("crops", [presets.crops, presets.inception_crops])
def test_a_recipe_that_is_made_small_has_smaller_crops_and_a_smaller_model(crops):
    config = presets.imagenet(batch_size=256)
    config.preprocess, config.optimizer = crops(224), {}
    config.model = dict(name="vit.vit_b16", num_classes=1000, dropout=0.1)
    presets.shrink(config, size=64, num_classes=10, width=8)
    small = crops(64, **dict(short=72) if crops is presets.crops else {})
    assert config.preprocess.to_dict() == small
    assert config.model.to_dict() == dict(name="vit.vit_b16", num_classes=10, dropout=0.1, width=8)


def test_what_one_recipe_changes_no_other_has(tmp_path):
    full = load(tmp_path, "full")
    load(tmp_path, "smoke")
    assert load(tmp_path, "full") == full


def test_shares_of_the_run_stay_and_a_claim_goes():
    config = presets.in_memory("cifar10", batch_size=128)
    config.optimizer = dict(schedule=dict(name="step", boundaries=["50%", "75%"], peak="20%"))
    config.reported = dict(metric="test/accuracy", value=0.9)
    presets.shrink(config, "synthetic/32x10")
    assert config.optimizer.schedule == ConfigDict(
        dict(name="step", boundaries=["50%", "75%"], peak="20%")
    )
    assert config.dataset.cache == "device"
    assert "reported" not in config
