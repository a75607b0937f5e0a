"""What evaluators share that show images: the pictures of an output."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from library import painting
from library.config import ConfigError


def shown(made: Any, evaluator: str, output: str, num_classes: int | None) -> Array:
    """Returns images as they are, and maps (b, h, w) painted.

    Args:
      made: the result of an output.
      evaluator: the name of the evaluator, for messages.
      output: the name of the output, for messages.
      num_classes: number of classes of maps; None for up to 256.

    Raises:
      ConfigError: `made` is neither.
    """
    shape = getattr(made, "shape", None)
    if shape is not None and len(shape) == 3 and jnp.issubdtype(made.dtype, jnp.integer):
        return painting.painted(made, num_classes or 256)
    if shape is None or len(shape) not in (4, 5):
        what = "several arrays" if shape is None else f"its shape is {shape}"
        raise ConfigError(f"{evaluator}, output={output!r} is not an image: {what}")
    return made
