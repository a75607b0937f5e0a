"""A patch against a classifier of brightness, whose best patch is white."""

import io

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from library.apps import adversarial_patch, classifier, predictions
from library.config import ConfigError
from library.data import sources
from library.run.feed import Feed
from library.run.session import Trained
from tests import tiny

GREY = {
    # Of the last two one is seen as bright, and the other is truly so.
    "image": np.uint8([40, 60, 70, 30, 255, 50])[:, None, None, None] * np.ones((1, 10, 8, 1)),
    "label": np.int32([1, 2, 3, 1, 2, 0]),
}


class Brightness(nn.Module):
    """Class 0 is bright, and else it is class 1: the mean of the pixels is 0.3 at the border."""

    @nn.compact
    def __call__(self, image, train=False):
        """Returns logits (b, 4)."""
        scale = self.param("scale", nn.initializers.constant(3.0), ())
        bright = scale * (image.mean((1, 2, 3)) - 0.3)
        rest = jnp.full_like(bright, -9)
        return jnp.stack([bright, jnp.zeros_like(bright), rest, rest], axis=-1)


@pytest.fixture(scope="module")
def made():
    with pytest.MonkeyPatch.context() as patch:
        grey = {k: v.astype(np.uint8 if k == "image" else np.int32) for k, v in GREY.items()}
        source = sources.from_arrays(grey, label_names=tiny.CLASSES)
        tiny.serve(patch, train=source, test=source)
        plan = tiny.plan_on(1)
        run = Trained(plan, Feed(plan), 0, None)
        network = classifier.Network(
            Brightness(), {"params": {"scale": 3.0}}, lambda x: x, nn.softmax, tiny.CLASSES
        )
        examples = predictions.from_split(run, "test", 6, seed=0)
        settings = adversarial_patch.settings((0.9, 0.9), 60)
        yield (
            run,
            network,
            examples,
            adversarial_patch.make(run, network, examples, "a", settings),
            settings,
        )


def test_the_patch_is_white_and_seen(made):
    _, network, examples, found, settings = made
    side = len(found.patch)
    assert side == settings.size == 32
    rows, columns = np.indices((side, side)) - (side - 1) / 2
    np.testing.assert_array_equal(found.patch[rows**2 + columns**2 <= (side / 2 - 2) ** 2], 1)
    rows = [int(name.removeprefix("test[")[:-1]) for name in examples.names]
    assert sorted(rows) == list(range(6))
    np.testing.assert_array_equal(found.own, [row in (4, 5) for row in rows])
    # The disc covers pi (0.45 8)^2 of 80 pixels, the half of them: even the darkest is bright.
    np.testing.assert_array_equal(found.patched[~found.own].argmax(-1), 0)
    assert found.patched.shape == (6, 10, 4)
    np.testing.assert_allclose(found.patched[:, 0], network.probabilities(found.shown), atol=1e-6)
    lines = adversarial_patch.lines(network, found)
    expected = (
        "classified as a with the patch: 100.0% of 4 examples of other classes at 10 places each"
    )
    assert lines == [expected]


def test_success_is_counted_over_places_and_other_classes(made):
    _, network, _, found, _ = made
    patched = np.zeros((6, 10, 4))
    patched[..., 1] = 1
    first = np.flatnonzero(~found.own)[0]
    patched[first, :3, 0] = 2
    patched[found.own, :, 0] = 2
    lines = adversarial_patch.lines(network, found._replace(patched=patched))
    assert lines[0].startswith("classified as a with the patch: 7.5% of 4 examples")
    none = found._replace(own=np.ones(6, bool))
    assert adversarial_patch.lines(network, none)[0].startswith(
        "all 6 examples are a without the patch"
    )


def test_a_file_to_print_and_a_picture(made):
    _, network, examples, found, settings = made
    printed = adversarial_patch.printable(network, found)
    image = Image.open(io.BytesIO(printed.png))
    assert (image.mode, image.size, printed.name) == ("RGBA", (512, 512), "patch")
    pixels = np.asarray(image)
    assert pixels[0, 0, 3] == 0
    assert pixels[256, 1, 3] == 255
    np.testing.assert_array_equal(pixels[100:400, 100:400], 255)
    drawn = adversarial_patch.picture(network, examples, found, settings)
    assert drawn.name == "adversarial_patch"
    assert "for the class a (Brown et al. 2017), 90% of the shorter side" in drawn.captions[0]
    assert drawn.png.startswith(b"\x89PNG")


def test_refused(made):
    run, network, examples, _, settings = made
    with pytest.raises(ConfigError, match="add --target=CLASS"):
        adversarial_patch.make(run, network, examples, None, settings)
    with pytest.raises(ConfigError, match="no class 'e'"):
        adversarial_patch.make(run, network, examples, "e", settings)
    with pytest.raises(ConfigError, match=r"side=\(0\.5, 1\.5\)"):
        adversarial_patch.settings((0.5, 1.5), 10)
    with pytest.raises(ConfigError, match="steps=0"):
        adversarial_patch.settings((0.5, 0.5), 0)
