"""Adversaries by name, with the settings that a config gives them.

An adversary is a function `(logits, image, label, keys) -> image`: images in [0, 1] within a ball
about the given ones, that a classifier is to misread; see `attacks`. `keys` are one an example.
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
    """Returns the adversary of one step along the gradient's sign (Goodfellow et al. 2015).

    Args:
      epsilon: change of every pixel.

    Raises:
      ConfigError: an epsilon outside [0, 1].
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

    With one step it is the FGSM from a random start, of Wong, Rice & Kolter 2020, "Fast is better
    than free: revisiting adversarial training" (arXiv 2001.03994).

    Args:
      epsilon: radius of the ball: greatest change of a pixel, or norm of the change.
      steps: how many.
      step_size: length of one, by default 2.5 epsilon / steps.
      norm: of the ball.
      random_start: begins at a point drawn from the ball, not at the image.

    Raises:
      ConfigError: settings out of range.
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
