"""Maps by the gradient of a class's score, from the plain gradient to integrated gradients.

All functions differentiate the logit of a class by the images, in the units that `logits` takes.
They return a value for each channel of each pixel; `magnitude` reduces these to one per pixel.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from library.config import ConfigError

Logits = Callable[[Float[Array, "b h w c"]], Float[Array, "b k"]]


def class_score(logits: Float[Array, "b k"], label: Int[Array, " b"]) -> Float[Array, " b"]:
    """Returns the logit of each example's class."""
    return jnp.take_along_axis(logits, label[:, None], axis=-1)[:, 0]


def input_gradient(
    logits: Logits, image: Float[Array, "b h w c"], label: Int[Array, " b"]
) -> Float[Array, "b h w c"]:
    """Returns the gradient of the class's score with respect to the image.

    Simonyan, Vedaldi & Zisserman 2014, "Deep inside convolutional networks" (arXiv 1312.6034),
    section 3.

    Args:
      logits: a classifier that treats each example by itself.
      image: the images.
      label: the class to explain, for each image.
    """
    return jax.grad(lambda x: jnp.sum(class_score(logits(x), label)))(image)


def gradient_times_input(
    logits: Logits, image: Float[Array, "b h w c"], label: Int[Array, " b"]
) -> Float[Array, "b h w c"]:
    """Returns the gradient times the image: each value's contribution if the score were linear.

    Shrikumar, Greenside, Shcherbina & Kundaje 2016, "Not just a black box" (arXiv 1605.01713).
    """
    return image * input_gradient(logits, image, label)


def smooth_grad(
    logits: Logits,
    image: Float[Array, "b h w c"],
    label: Int[Array, " b"],
    keys: Key[Array, " b"],
    *,
    noise: float = 0.15,
    samples: int = 25,
) -> Float[Array, "b h w c"]:
    """Returns the gradient averaged over noisy copies of the image.

    Smilkov, Thorat, Kim, Viegas & Wattenberg 2017, "SmoothGrad: removing noise by adding noise"
    (arXiv 1706.03825), section 3.

    Args:
      logits: a classifier that treats each example by itself.
      image: the images.
      label: the class to explain, for each image.
      keys: keys of each image's noise, (b,).
      noise: standard deviation of the noise, as a share of the image's greatest minus its least
        value.
      samples: number of copies.

    Raises:
      ConfigError: `samples` is below 1, or `noise` below 0.
    """
    if samples < 1 or not noise >= 0:
        raise ConfigError(
            f"samples={samples}, noise={noise}: valid are samples from 1 and noise from 0"
        )
    axes = tuple(range(1, image.ndim))
    scale = noise * (image.max(axes, keepdims=True) - image.min(axes, keepdims=True))

    def draw(key):
        return jax.random.normal(key, image.shape[1:], image.dtype)

    def add(total, sample):
        drawn = jax.vmap(lambda key: draw(jax.random.fold_in(key, sample)))(keys)
        return total + input_gradient(logits, image + scale * drawn, label), None

    total, _ = jax.lax.scan(add, jnp.zeros_like(image), jnp.arange(samples))
    return total / samples


def integrated_gradients(
    logits: Logits,
    image: Float[Array, "b h w c"],
    label: Int[Array, " b"],
    baseline: Float[Array, "#b #h #w #c"] | None = None,
    *,
    steps: int = 64,
) -> Float[Array, "b h w c"]:
    """Returns integrated gradients: the mean gradient from baseline to image, times the difference.

    Sundararajan, Taly & Yan 2017, "Axiomatic attribution for deep networks" (arXiv 1703.01365),
    equation 1. An example's values sum to its score minus the baseline's score (completeness), up
    to the error of approximating the integral by a sum over the midpoints of equal steps.

    Args:
      logits: a classifier that treats each example by itself.
      image: the images.
      label: the class to explain, for each image.
      baseline: an image without information; zeros by default, which is black for images in [0, 1].
      steps: number of steps of the sum; the paper finds 20 to 300 enough.

    Raises:
      ConfigError: `steps` is below 1.
    """
    if steps < 1:
        raise ConfigError(f"steps={steps}: valid are 1 or more")
    baseline = jnp.zeros_like(image) if baseline is None else baseline
    difference = image - baseline

    def add(mean, step):
        share = (step + 0.5) / steps
        gradient = input_gradient(logits, baseline + share * difference, label)
        # A running mean, unlike a sum, is exact where the gradient is constant along the line.
        return mean + (gradient - mean) / (step + 1), None

    mean, _ = jax.lax.scan(add, jnp.zeros_like(image), jnp.arange(steps))
    return difference * mean


def magnitude(gradient: Float[Array, "b h w c"]) -> Float[Array, "b h w"]:
    """Returns the greatest absolute value over the channels (Simonyan et al. 2014, section 3.1)."""
    return jnp.max(jnp.abs(gradient), axis=-1)
