"""Occlusion: how much of the class's score is lost when a grey patch hides a part of the image."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from library.apps.explain.gradients import Logits, class_score
from library.config import ConfigError


def occlusion(
    logits: Logits,
    image: Float[Array, "b h w c"],
    label: Int[Array, " b"],
    *,
    size: int = 8,
    stride: int = 4,
    grey: float = 0.5,
) -> Float[Array, "b h w"]:
    """Slides a square patch over the image, and returns each pixel's mean loss of score.

    Zeiler & Fergus 2014, "Visualizing and understanding convolutional networks" (arXiv 1311.2901),
    section 4.2. Their figure 7d shows the class's probability: pass `lambda x:
    jax.nn.softmax(logits(x))` in place of the logits to get the loss of probability.

    Args:
      logits: a classifier.
      image: the images, b of which pass through the classifier at a time.
      label: the class whose score is measured, for each image.
      size: side of the patch in pixels.
      stride: pixels between the patch's places; the last row and column of places touch the border.
      grey: value of the patch.

    Returns:
      For each pixel the score of the whole image minus that of the image with the patch, averaged
      over the places at which the patch hides the pixel.

    Raises:
      ConfigError: the patch is larger than the image, or the stride is longer than the patch, so
        that pixels are skipped.
    """
    height, width = image.shape[1:3]
    if not 1 <= size <= min(height, width):
        raise ConfigError(f"size={size} of the patch: valid are 1 to {min(height, width)}")
    if not 1 <= stride <= size:
        raise ConfigError(f"stride={stride}: valid are 1 to {size}, the patch's side")
    rows, columns = (_starts(length, size, stride) for length in (height, width))
    whole = class_score(logits(image), label)

    def lost(place):
        down = jnp.arange(height) - place[0]
        across = jnp.arange(width) - place[1]
        hidden = ((down >= 0) & (down < size))[:, None] & ((across >= 0) & (across < size))
        left = jnp.where(hidden[..., None], jnp.asarray(grey, image.dtype), image)
        return whole - class_score(logits(left), label)

    places = np.stack(np.meshgrid(rows, columns, indexing="ij"), -1).reshape(-1, 2)
    losses = jax.lax.map(lost, jnp.asarray(places)).T.reshape(-1, len(rows), len(columns))
    over, beside = (_covered(s, size, n) for s, n in ((rows, height), (columns, width)))
    total = jnp.einsum("brc,ry,cx->byx", losses, over, beside)
    return total / (over.sum(0)[:, None] * beside.sum(0))


def _starts(length: int, size: int, stride: int) -> np.ndarray:
    last = length - size
    return np.unique(np.append(np.arange(0, last + 1, stride), last))


def _covered(starts: np.ndarray, size: int, length: int) -> np.ndarray:
    """Returns (starts, length): 1 where the patch that begins at a start covers a position."""
    at = np.arange(length) - starts[:, None]
    return np.float32((at >= 0) & (at < size))
