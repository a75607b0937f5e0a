"""Adversaries by name, with settings from a config.

An adversary is a function `(logits, image, label, keys) -> image`. It returns images in [0, 1],
within a ball around the given images, that a classifier should misclassify; see `attacks`. `keys`
has one key for each example.
"""

from collections.abc import Callable
from typing import Literal

from jaxtyping import Array, Float, Int, Key

from library.adversarial_examples import attacks

Adversary = Callable[
    [attacks.Logits, Float[Array, "b h w c"], Int[Array, " b"], Key[Array, " b"]],
    Float[Array, "b h w c"],
]


def fgsm(epsilon: float) -> Adversary:
    """Returns the adversary that takes one step along the gradient's sign (Goodfellow et al. 2015).

    Args:
      epsilon: change of every pixel, in units of [0, 1] pixels.

    Raises:
      ConfigError: epsilon is outside [0, 1].
    """
    attacks.check_settings(epsilon)

    def change(logits, image, label, keys):
        return attacks.fast_gradient_sign(logits, image, label, epsilon=epsilon)

    return change


def pgd(
    epsilon: float,
    steps: int = 40,
    step_size: float | None = None,
    norm: Literal["linf", "l2"] = "linf",
    random_start: bool = True,
) -> Adversary:
    """Returns the adversary of projected gradient descent (Madry et al. 2018, section 2.1).

    With one step it is FGSM with a random start (Wong, Rice & Kolter 2020, "Fast is better than
    free: revisiting adversarial training", arXiv 2001.03994).

    Args:
      epsilon: radius of the ball: the largest change of a pixel, or the norm of the change.
      steps: number of steps.
      step_size: length of a step, by default 2.5 epsilon / steps.
      norm: norm of the ball.
      random_start: starts at a random point of the ball instead of the image.

    Raises:
      ConfigError: a setting is out of range.
    """
    attacks.check_settings(epsilon, norm, steps, step_size)

    def change(logits, image, label, keys):
        return attacks.projected_gradient(
            logits,
            image,
            label,
            keys,
            epsilon=epsilon,
            step_size=step_size,
            steps=steps,
            norm=norm,
            random_start=random_start,
        )

    return change
