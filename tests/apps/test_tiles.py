"""The map of a large image in tiles is the map of the whole image."""

import jax
import numpy as np
import pytest
from PIL import Image

from library import tiling
from library.apps import maps, outputs, tiles
from library.config import ConfigError
from library.run import stepping
from library.run.feed import Feed
from library.run.recipe import make_plan
from library.run.session import Trained
from tests import families


@pytest.fixture(scope="module")
def trained():
    with pytest.MonkeyPatch.context() as patch:
        families.serve(patch)
        plan = make_plan(families.config("unet"), devices=jax.devices()[:2])
        feed = Feed(plan)
        state = families.stirred(jax.device_get(stepping.initial_carry(plan, feed).state))
        yield Trained(plan, feed, 0, plan.strategy.init(lambda x: x, state))


def picture(height, width):
    random = np.random.default_rng(0)
    return random.integers(0, 256, (height, width, 1)).astype(np.uint8)


def test_logits_in_tiles_are_those_of_the_whole(trained):
    image = picture(50, 38)
    whole = tiles.computed(trained, "logits")(image[None])[0]
    made = tiles.tiler(trained, "logits", tile=10, stride=2)(image)
    np.testing.assert_allclose(made, whole, rtol=1e-5, atol=1e-5)
    narrow = tiles.tiler(trained, "logits", tile=10, halo=0, stride=2)(image)
    assert np.abs(narrow - whole).max() > 1e-2


def test_generate_writes_maps_of_files_of_any_size(trained, tmp_path, monkeypatch):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.fromarray(picture(45, 70)[..., 0]).save(tmp_path / folder / "scene.png")
    made = outputs.maker("prediction", files=True)
    paths = [tmp_path / "a/scene.png", tmp_path / "b"]
    measured, reach = [], tiling.reach
    monkeypatch.setattr(tiling, "reach", lambda *a: measured.append(a) or reach(*a))
    plain = dict(images=paths, seed=0, ema=True, save_arrays=False)
    made(trained, "prediction", tmp_path / "made", **plain, tile=32, halo=None)
    names = [f"scene{n}_{what}.png" for n in ("", "_2") for what in ("prediction", "overlay")]
    assert sorted(p.name for p in (tmp_path / "made").iterdir()) == sorted(names)
    assert len(measured) == 1
    # Sides that the stride does not divide go on as in a mirror.
    whole = np.pad(picture(45, 70), ((0, 19), (0, 26), (0, 0)), mode="reflect")
    expected = tiles.computed(trained, "logits")(whole[None])[0, :45, :70]
    with Image.open(tmp_path / "made/scene_prediction.png") as numbered:
        assert numbered.mode == "P"
        found = np.asarray(numbered)
    two = np.sort(expected, axis=-1)
    clear = two[..., -1] - two[..., -2] > 1e-4
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(found[clear], expected.argmax(-1)[clear])
    with pytest.raises(ConfigError, match="--halo=8 is the margin of a tile: set --tile"):
        made(trained, "prediction", tmp_path / "made", **plain, tile=None, halo=8)


def test_a_map_keeps_its_numbers_and_its_colours(tmp_path):
    classes = np.arange(6).reshape(2, 3) % 4
    image = np.full((2, 3, 3), 100, np.uint8)
    numbered, overlay = maps.write(image, classes, list("abcd"), tmp_path, "x")
    with Image.open(numbered) as found:
        np.testing.assert_array_equal(np.asarray(found), classes)
        colours = np.asarray(found.convert("RGB"))
    np.testing.assert_array_equal(colours, maps.painting.colours(4)[classes])
    with Image.open(overlay) as found:
        np.testing.assert_array_equal(np.asarray(found)[0, 0], [100, 100, 100])


@pytest.mark.full
def test_a_network_that_does_not_pad_has_the_margin_of_its_task_as_halo(monkeypatch):
    families.serve(monkeypatch)
    values = families.config(
        "unet",
        preprocess=[dict(name="select", keys=["image", "map"]), dict(name="pad", size=20)],
        model=dict(name="unet", widths=(4, 8), dropout=0.0, padding="valid"),
        task=dict(name="segmentation", margin=8),
        augment=[],
    )
    plan = make_plan(values, devices=jax.devices()[:1])
    feed = Feed(plan)
    state = families.stirred(jax.device_get(stepping.initial_carry(plan, feed).state))
    given = Trained(plan, feed, 0, plan.strategy.init(lambda x: x, state))
    image = picture(50, 38)
    made, whole = (tiles.tiler(given, "logits", tile=t, stride=2)(image) for t in (6, 52))
    assert made.shape == (50, 38, 4)
    np.testing.assert_allclose(made, whole, rtol=1e-5, atol=1e-5)
    with pytest.raises(ConfigError, match="halo=4: a network that does not pad has that of its t"):
        tiles.tiler(given, "logits", tile=6, halo=4, stride=2)


def test_what_has_no_image_has_no_tiles(trained):
    with pytest.raises(ConfigError, match="unknown output 'logit'"):
        tiles.tiler(trained, "logit", tile=8)


def test_a_file_that_cannot_be_used_is_named_when_its_turn_comes(trained, tmp_path):
    Image.fromarray(picture(5, 4)[..., 0]).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no image")
    (tmp_path / "c.png").mkdir()
    found = tiles.each_decoded(trained, [tmp_path / "a.png", tmp_path / "b.png"])
    name, image = next(found)
    assert name == "a"
    np.testing.assert_array_equal(image, picture(5, 4))
    with pytest.raises(ConfigError, match=r"b\.png"):
        next(found)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles.folder, "image_files", lambda paths: (paths, []))
        with pytest.raises(ConfigError, match=r"c\.png cannot be read: Is a directory"):
            list(tiles.each_decoded(trained, [tmp_path / "c.png"]))
