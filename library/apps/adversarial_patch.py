"""Adversarial patches against a classifier, which `explain` shows."""

import io
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from PIL import Image

from library import rng
from library.adversarial_examples import patch as patches
from library.apps.classifier import Network, keys
from library.apps.explain import drawing
from library.apps.explain.drawing import Picture
from library.apps.explain.explaining import in_unit_range
from library.apps.predictions import Examples, from_split
from library.config import ConfigError
from library.data import on_device
from library.reporting import figures, notation
from library.run.session import Trained

# Training images to which a patch is fitted, and the places that are tried in each other image.
_FITTED, _PLACES = 256, 10
# The least side of the image file: a print should not show the patch's own pixels.
_PRINTED = 512


class PatchResult(NamedTuple):
    """A patch, and a classifier's predictions for images with it.

    Attributes:
      patch: the patch, in [0, 1].
      target: the class that the classifier should predict.
      shown: the images with the patch at the first of its places.
      clean: class probabilities of the images without the patch.
      patched: class probabilities of the images with the patch, at all places.
      own: whether the predicted or, if known, the true class of an image without the patch is the
        target; such images do not count.
    """

    patch: Float[np.ndarray, "s s c"]
    target: int
    shown: Float[np.ndarray, "n h w c"]
    clean: Float[np.ndarray, "n k"]
    patched: Float[np.ndarray, "n p k"]
    own: np.ndarray


def settings(side: tuple[float, float], steps: int) -> patches.Settings:
    """Returns the settings to train a patch.

    Args:
      side: the least and the greatest side of the patch, shares of the images' shorter side.
      steps: number of training steps.

    Raises:
      ConfigError: the sides or the steps are out of range.
    """
    found = patches.DEFAULT._replace(side=side, steps=steps)
    patches.check_settings(found)
    return found


def make(
    trained: Trained,
    network: Network,
    examples: Examples,
    target: str | None,
    settings: patches.Settings,
    seed: int = 0,
) -> PatchResult:
    """Trains a patch on training images, and tries it on other images at random places.

    Args:
      trained: the run.
      network: the classifier of the run.
      examples: the examples on which the patch is tried.
      target: the class that the classifier should predict, by number or name.
      settings: settings of the patch; its size is raised to at least the pixels that it covers.
      seed: seed of the random draws.

    Raises:
      ConfigError: there is no target, or it is unknown.
    """
    if target is None:
        raise ConfigError("a patch needs a class for the network to predict: add --target=CLASS")
    label = network.class_of(target)
    pixels = in_unit_range(examples)
    covered = math.ceil(settings.side[1] * min(pixels.shape[1:3]))
    settings = settings._replace(size=max(settings.size, covered))
    count = min(_FITTED, len(trained.feed.loader("train").source.records))
    fitted = in_unit_range(from_split(trained, "train", count, seed))
    key = rng.purpose(rng.root(seed), "patch")

    @jax.jit
    def train(variables, image):
        logits = network._replace(variables=variables).logits
        return patches.train_patch(logits, image, label, key, settings)

    patch = np.asarray(train(network.variables, jnp.asarray(fitted)))
    shown = np.stack([_covered(network, patch, pixels, settings, seed, i) for i in range(_PLACES)])
    clean = network.probabilities(pixels)
    patched = np.stack([network.probabilities(images) for images in shown], axis=1)
    own = clean.argmax(-1) == label
    if examples.labels is not None:
        own |= np.array(examples.labels) == label
    return PatchResult(patch, label, shown[0], clean, patched, own)


def lines(network: Network, found: PatchResult) -> list[str]:
    """Renders how often the patch makes images of other classes its target."""
    met = found.patched[~found.own].argmax(-1) == found.target
    name, count = network.label_names[found.target], len(met)
    if not count:
        return [f"all {len(found.own)} examples are {name} without the patch: none is left to try"]
    return [
        f"classified as {name} with the patch: {met.mean():.1%} of {count} examples of other "
        f"classes at {_PLACES} places each"
    ]


def picture(
    network: Network, examples: Examples, found: PatchResult, settings: patches.Settings
) -> Picture:
    """Draws the images without and with the patch."""
    columns = {
        "clean": on_device.pixels(None, in_unit_range(examples)),
        "with the patch": on_device.pixels(None, found.shown),
    }
    captions = [
        [
            notation.printable(name, 18),
            *([f"true: {network.name_of(examples.labels[i])}"] if examples.labels else []),
            f"clean: {network.says(found.clean[i])}",
            f"now: {network.says(found.patched[i, 0])}",
        ]
        for i, name in enumerate(examples.names)
    ]
    low, high = (f"{side:.0%}" for side in settings.side)
    caption = (
        f"A patch for the class {network.label_names[found.target]} (Brown et al. 2017), "
        f"{low if low == high else f'{low} to {high}'} of the shorter side, at a random place."
    )
    figure = drawing.table(columns, captions)
    return Picture("adversarial_patch", "patch", [caption], figures.png(figure))


def printable(network: Network, found: PatchResult) -> Picture:
    """Returns the patch alone for printing: a disc on a transparent ground."""
    patch = on_device.pixels(None, found.patch)
    side = max(_PRINTED, len(patch))
    image = Image.fromarray(patch[..., 0] if patch.shape[-1] == 1 else patch)
    image = image.convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
    row, column = np.indices((side, side)) - (side - 1) / 2
    image.putalpha(Image.fromarray(np.uint8(255 * (row**2 + column**2 <= (side / 2) ** 2))))
    file = io.BytesIO()
    image.save(file, "PNG")
    name = network.label_names[found.target]
    return Picture("patch", "to print", [f"A patch for the class {name}."], file.getvalue())


def _covered(network, patch, pixels, settings, seed, place):
    """Puts the patch at a random place in each image."""
    drawn = keys(seed, len(pixels), f"place {place}")

    def cover(network, image, keys):
        places = patches.random_places(keys, image.shape[1:3], settings)
        return patches.apply_patch(jnp.asarray(patch), image, places)

    return network.run(cover, pixels, drawn)
