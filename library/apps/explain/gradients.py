"""Maps by the gradient of a class's score, from the plain one to the integrated.

All differentiate the logit of a class, of images in whatever units `logits` takes them, and
return a value for each of their numbers; `magnitude` makes one a pixel of them.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from library.config import ConfigError

Logits = Callable[[Float[Array, "b h w c"]], Float[Array, "b k"]]


def class_score(logits: Float[Array, "b k"], label: Int[Array, " b"]) -> Float[Array, " b"]:
    """Returns each example's logit of its class."""
    return jnp.take_along_axis(logits, label[:, None], axis=-1)[:, 0]


def input_gradient(
    logits: Logits, image: Float[Array, "b h w c"], label: Int[Array, " b"]
) -> Float[Array, "b h w c"]:
    """Differentiates the class's score by the image.

    Simonyan, Vedaldi & Zisserman 2014, "Deep inside convolutional networks" (arXiv 1312.6034),
    section 3.

    Args:
      logits: a classifier that treats each example by itself.
      image: the examples.
      label: the class whose score is explained, of each.
    """
    return jax.grad(lambda x: jnp.sum(class_score(logits(x), label)))(image)


def gradient_times_input(
    logits: Logits, image: Float[Array, "b h w c"], label: Int[Array, " b"]
) -> Float[Array, "b h w c"]:
    """Returns what each number contributes to the score, were it linear with its gradient here.

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
    """Averages the gradient over noisy copies of the image.

    Smilkov, Thorat, Kim, Viegas & Wattenberg 2017, "SmoothGrad: removing noise by adding noise"
    (arXiv 1706.03825), section 3.

    Args:
      logits: a classifier that treats each example by itself.
      image: the examples.
      label: the class whose score is explained, of each.
      keys: (b,), of each example's noise.
      noise: its standard deviation, as a share of the image's greatest minus its least value.
      samples: copies.

    Raises:
      ConfigError: fewer than one copy, a noise below 0.
    """
    if samples < 1 or not noise >= 0:
        raise ConfigError(f"samples={samples}, noise={noise}: valid are 1 or more, and 0 or more")
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
    """Integrates the gradient along the line from a baseline to the image, times their difference.

    Sundararajan, Taly & Yan 2017, "Axiomatic attribution for deep networks" (arXiv 1703.01365),
    equation 1. An example's values sum to its score minus the baseline's (completeness), up to
    the error of the sum that stands for the integral, here of the midpoints of equal steps.

    Args:
      logits: a classifier that treats each example by itself.
      image: the examples.
      label: the class whose score is explained, of each.
      baseline: the image that shows nothing, by default zeros: black, if images are in [0, 1].
      steps: of the sum; the paper finds 20 to 300 enough.

    Raises:
      ConfigError: fewer than one step.
    """
    if steps < 1:
        raise ConfigError(f"steps={steps}: valid are 1 or more")
    baseline = jnp.zeros_like(image) if baseline is None else baseline
    difference = image - baseline

    def add(mean, step):
        share = (step + 0.5) / steps
        gradient = input_gradient(logits, baseline + share * difference, label)
        # The mean so far, and not a sum, is exact where the gradient is the same all along.
        return mean + (gradient - mean) / (step + 1), None

    mean, _ = jax.lax.scan(add, jnp.zeros_like(image), jnp.arange(steps))
    return difference * mean


def magnitude(gradient: Float[Array, "b h w c"]) -> Float[Array, "b h w"]:
    """Returns the greatest absolute value over the channels (Simonyan et al. 2014, section 3.1)."""
    return jnp.max(jnp.abs(gradient), axis=-1)
