"""Attacks that change an image slightly: one signed step, or many projected steps.

Images are pixels in [0, 1], before any normalization, and stay in [0, 1]. An attack moves away from
the given label. A targeted attack moves towards it.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key

from library.config import ConfigError, check_choice

Logits = Callable[[Float[Array, "b h w c"]], Float[Array, "b k"]]
NORMS = ("linf", "l2")
_AXES = (1, 2, 3)
# The largest number of steps to unroll on CPU, where XLA's convolutions are five times slower in a
# loop.
_UNROLLED = 40


def fast_gradient_sign(
    logits: Logits,
    image: Float[Array, "b h w c"],
    label: Int[Array, " b"],
    *,
    epsilon: float,
    targeted: bool = False,
) -> Float[Array, "b h w c"]:
    """Returns x + epsilon sign(gradient of the cross-entropy), clipped to [0, 1].

    Goodfellow, Shlens & Szegedy 2015, "Explaining and harnessing adversarial examples" (arXiv
    1412.6572), section 4.

    Args:
      logits: function from pixels to logits that treats each example independently.
      image: the examples.
      label: true class of each example or, if targeted, the class that it should be taken for.
      epsilon: largest change of a pixel.
      targeted: steps towards the label.

    Raises:
      ConfigError: epsilon is outside [0, 1].
    """
    check_settings(epsilon)
    step = epsilon * jnp.sign(_ascent_direction(logits, image, label, targeted))
    return jnp.clip(image + step, 0, 1)


def projected_gradient(
    logits: Logits,
    image: Float[Array, "b h w c"],
    label: Int[Array, " b"],
    keys: Key[Array, " b"],
    *,
    epsilon: float,
    step_size: float | None = None,
    steps: int = 40,
    norm: str = "linf",
    targeted: bool = False,
    random_start: bool = True,
) -> Float[Array, "b h w c"]:
    """Takes many steps and projects the change back into a ball after each step.

    Madry, Makelov, Schmidt, Tsipras & Vladu 2018, "Towards deep learning models resistant to
    adversarial attacks" (arXiv 1706.06083), section 2.1: projected gradient descent on the negative
    cross-entropy. A step follows the sign of the gradient for "linf", and the gradient scaled to
    norm 1 for "l2".

    Args:
      logits: function from pixels to logits that treats each example independently.
      image: the examples.
      label: true class of each example or, if targeted, the class that it should be taken for.
      keys: (b,), keys for the random start of each example.
      epsilon: radius of the ball: the largest change of a pixel, or the norm of the change.
      step_size: length of a step, by default 2.5 epsilon / steps, so that the steps can cross the
        ball.
      steps: number of steps.
      norm: "linf" or "l2".
      targeted: steps towards the label.
      random_start: starts at a point drawn uniformly from the ball instead of the image.

    Raises:
      ConfigError: the norm is unknown, epsilon is negative or too large, the step size is below 0,
        or there are no steps.
    """
    check_settings(epsilon, norm, steps, step_size)
    step_size = 2.5 * epsilon / steps if step_size is None else step_size
    step, start, project = {
        "linf": (jnp.sign, _in_cube, _project_linf),
        "l2": (_of_unit_norm, _in_sphere, _project_l2),
    }[norm]

    def move(now, _):
        moved = now + step_size * step(_ascent_direction(logits, now, label, targeted))
        return project(moved, image, epsilon), None

    drawn = jax.vmap(lambda key: start(key, image.shape[1:]))(keys)
    first = project(image + epsilon * drawn, image, epsilon) if random_start else image
    few = steps <= _UNROLLED and jax.default_backend() == "cpu"
    return jax.lax.scan(move, first, length=steps, unroll=steps if few else 1)[0]


def check_settings(
    epsilon: float, norm: str = "linf", steps: int = 1, step_size: float | None = None
) -> None:
    """Raises ConfigError for invalid settings of an attack, see `projected_gradient`."""
    check_choice("norm", norm, NORMS)
    most = 1.0 if norm == "linf" else float("inf")
    if not 0 <= epsilon <= most:
        raise ConfigError(f"epsilon={epsilon}: valid are 0 to {most:g}, in units of [0, 1] pixels")
    if steps < 1 or not (step_size is None or step_size >= 0):
        raise ConfigError(
            f"steps={steps}, step_size={step_size}: steps is 1 or more, step_size 0 or more"
        )


def _ascent_direction(logits, image, label, targeted):
    """Returns the gradient along which an attack moves: away from the label, or towards it."""

    def loss(x):
        return jnp.sum(optax.softmax_cross_entropy_with_integer_labels(logits(x), label))

    gradient = jax.grad(loss)(image)
    return -gradient if targeted else gradient


def _of_unit_norm(x):
    return x / jnp.maximum(_norm(x), 1e-12)


def _norm(x):
    return jnp.sqrt(jnp.sum(x**2, axis=_AXES, keepdims=True))


def _in_cube(key, shape):
    return jax.random.uniform(key, shape, minval=-1, maxval=1)


def _in_sphere(key, shape):
    direction, length = jax.random.split(key)
    drawn = jax.random.normal(direction, shape)
    # In n dimensions the volume within a radius grows with the n-th power of the radius.
    radius = jax.random.uniform(length) ** (1 / drawn.size)
    return radius * drawn / jnp.linalg.norm(drawn.ravel())


def _project_linf(moved, image, epsilon):
    epsilon = jnp.asarray(epsilon, image.dtype)
    low, high = image - epsilon, image + epsilon
    # If rounding moves a bound outwards, it is one floating-point step outside the ball.
    low = jnp.where(image - low > epsilon, jnp.nextafter(low, image), low)
    high = jnp.where(high - image > epsilon, jnp.nextafter(high, image), high)
    return jnp.clip(moved, jnp.maximum(low, 0), jnp.minimum(high, 1))


def _project_l2(moved, image, epsilon):
    change = moved - image
    change = change * jnp.minimum(1, epsilon / jnp.maximum(_norm(change), 1e-12))
    # Clipping cannot leave the ball: the image is in [0, 1], so clipping shortens the change.
    return jnp.clip(image + change, 0, 1)
