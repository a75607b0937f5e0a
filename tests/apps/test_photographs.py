"""Photographs of any size are restored in tiles as they are whole."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest
from PIL import Image

from library.apps import outputs, photographs, tiles
from library.config import ConfigError
from library.run import stepping
from library.run.feed import Feed
from library.run.recipe import make_plan
from library.run.session import Trained
from tests import families


def restored_run(family, **changes):
    with pytest.MonkeyPatch.context() as patch:
        families.serve(patch)
        plan = make_plan(families.config(family, **changes), devices=jax.devices()[:1])
        feed = Feed(plan)
        state = families.stirred(jax.device_get(stepping.initial_carry(plan, feed).state))
        return Trained(plan, feed, 0, plan.strategy.init(lambda x: x, state))


def photograph(height, width, channels=1):
    random = np.random.default_rng(0)
    return random.integers(0, 256, (height, width, channels)).astype(np.uint8)


def test_an_enlargement_in_tiles_is_that_of_the_whole():
    run = restored_run("restoration")
    image = photograph(30, 22)
    whole = tiles.computed(run, "restore")(image[None])[0]
    assert whole.shape == (60, 44, 1)
    made = photographs.restorer(run, tile=10)(image)
    np.testing.assert_allclose(made / 255, whole, atol=0.6 / 255)
    seams = photographs.restorer(run, tile=10, halo=0)(image)
    assert np.abs(seams / 255 - whole).max() > 0.01


def test_holes_are_not_in_image_files():
    recipe = SimpleNamespace(task=dict(name="restoration", degradation=dict(name="erase")))
    run = SimpleNamespace(plan=SimpleNamespace(recipe=recipe))
    with pytest.raises(ConfigError, match=r"this run fills holes, .* use --split=test"):
        photographs.restorer(run)


@pytest.mark.full
def test_generate_enlarges_files_and_gives_them_colour(tmp_path):
    Image.fromarray(photograph(9, 14)[..., 0]).save(tmp_path / "small.png")
    make = outputs.maker("restored", files=True)
    given = dict(images=[tmp_path / "small.png"], ema=True, tile=None, halo=None)
    make(restored_run("restoration"), "restored", tmp_path / "large", **given)
    with Image.open(tmp_path / "large/small_restored.png") as found:
        assert (found.mode, found.size) == ("L", (28, 18))
    # The network halves, so a side of 9 pixels goes on as in a mirror.
    make(restored_run("colourization"), "restored", tmp_path / "coloured", **given)
    with Image.open(tmp_path / "coloured/small_restored.png") as found:
        assert (found.mode, found.size) == ("RGB", (14, 9))
