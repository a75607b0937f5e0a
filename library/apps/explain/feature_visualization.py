"""Activation maximization: images for which a unit of a network has a high activation.

Erhan, Bengio, Courville & Vincent 2009, "Visualizing higher-layer features of a deep network"
(technical report 1341, Universite de Montreal), with the additions of Olah, Mordvintsev & Schubert
2017, "Feature visualization" (Distill, doi 10.23915/distill.00007), which make the images readable:
penalties, jitter, and gradient steps in frequencies instead of pixels.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key

from library.config import ConfigError, check_choice

Objective = Callable[[Float[Array, "b h w c"]], Float[Array, " b"]]
PARAMETERIZATIONS = ("fourier", "pixels")


def maximize(
    objective: Objective,
    keys: Key[Array, " b"],
    shape: tuple[int, int, int],
    *,
    steps: int = 256,
    learning_rate: float = 0.05,
    jitter: int = 2,
    total_variation: float = 0.0,
    l2: float = 0.0,
    parameterization: str = "fourier",
) -> Float[Array, "b h w c"]:
    """Maximizes an objective over images by Adam, from noise, in one scan.

    Args:
      objective: a function of images in [0, 1] that returns the value to maximize for each.
      keys: keys of each image's noise and jitter, (b,).
      shape: height, width and channels of the images.
      steps: number of steps of Adam.
      learning_rate: learning rate of Adam.
      jitter: the most pixels that the image is rolled by before each step, in both directions.
      total_variation: weight of `roughness`.
      l2: weight of the mean squared distance from grey, 0.5.
      parameterization: the values that Adam changes, whose sigmoid is the image: "fourier", see
        `from_frequencies`, or "pixels".

    Raises:
      ConfigError: the parameterization is unknown, `steps` is below 1, or a jitter or a penalty is
        below 0.
    """
    check_choice("parameterization", parameterization, PARAMETERIZATIONS)
    if steps < 1 or not all(x >= 0 for x in (jitter, total_variation, l2)):
        raise ConfigError(
            f"steps={steps}: valid are 1 or more; jitter={jitter}, "
            f"total_variation={total_variation}, l2={l2}: valid are 0 or more"
        )
    optimizer = optax.adam(learning_rate)
    drawn = jax.vmap(lambda key: _start(key, shape, parameterization))(keys)

    def image_of(free):
        fourier = parameterization == "fourier"
        return jax.nn.sigmoid(from_frequencies(free, shape[:2]) if fourier else free)

    def loss(free, step):
        image = image_of(free)
        from_grey = jnp.mean((image - 0.5) ** 2, axis=(1, 2, 3))
        penalty = total_variation * roughness(image) + l2 * from_grey
        now = jax.vmap(lambda key: jax.random.fold_in(key, step + 1))(keys)
        return jnp.sum(penalty - objective(_rolled(image, now, jitter)))

    def climb(carry, step):
        free, state = carry
        updates, state = optimizer.update(jax.grad(loss)(free, step), state)
        return (optax.apply_updates(free, updates), state), None

    (free, _), _ = jax.lax.scan(climb, (drawn, optimizer.init(drawn)), jnp.arange(steps))
    return image_of(free)


def roughness(image: Float[Array, "b h w c"]) -> Float[Array, " b"]:
    """Returns the total variation: the mean absolute differences of neighbours down and across."""
    down = jnp.abs(jnp.diff(image, axis=1)).mean(axis=(1, 2, 3))
    return down + jnp.abs(jnp.diff(image, axis=2)).mean(axis=(1, 2, 3))


def from_frequencies(
    spectrum: Float[Array, "b 2 h f c"], size: tuple[int, int]
) -> Float[Array, "b h w c"]:
    """Returns images from the real and imaginary parts of their spectrum.

    Each part is divided by its frequency. Equal steps in all parts then change an image like
    natural images, whose amplitudes fall with frequency (Olah et al. 2017, "preconditioning").

    Args:
      spectrum: the spectrum, with f = w // 2 + 1, the half that a real image needs.
      size: height and width of the images.
    """
    scaled = spectrum / _frequencies(size)[..., None]
    whole = jax.lax.complex(scaled[:, 0], scaled[:, 1])
    return jnp.fft.irfft2(whole, size, axes=(1, 2), norm="ortho")


def _frequencies(size: tuple[int, int]) -> Float[Array, "h f"]:
    """Returns frequencies in cycles per pixel, at least one over the longer side."""
    height, width = size
    down, across = jnp.fft.fftfreq(height)[:, None], jnp.fft.rfftfreq(width)
    return jnp.maximum(jnp.sqrt(down**2 + across**2), 1 / max(size))


def _start(key: Key[Array, ""], shape: tuple[int, int, int], parameterization: str) -> Array:
    height, width, channels = shape
    spectrum = (2, height, width // 2 + 1, channels)
    return 0.01 * jax.random.normal(key, spectrum if parameterization == "fourier" else shape)


def _rolled(
    image: Float[Array, "b h w c"], keys: Key[Array, " b"], most: int
) -> Float[Array, "b h w c"]:
    def roll(x, key):
        return jnp.roll(x, jax.random.randint(key, (2,), -most, most + 1), axis=(0, 1))

    return jax.vmap(roll)(image, keys) if most else image
