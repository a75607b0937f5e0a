"""The linear classifier at the end of a model."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float


def linear_head(
    x: Float[Array, "b d"],
    num_classes: int,
    *,
    kernel_init: Any,
    use_bias: bool = True,
    param_dtype: Any = jnp.float32,
) -> Float[Array, "b k"]:
    """Applies the dense layer "head", a submodule of the module whose compact method calls this.

    The layer always computes in float32. It costs little, and in bfloat16 the logits would be
    rounded to 3 digits.
    """
    head = nn.Dense(
        num_classes,
        use_bias=use_bias,
        kernel_init=kernel_init,
        dtype=jnp.float32,
        param_dtype=param_dtype,
        name="head",
    )
    return head(x)
