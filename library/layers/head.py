"""The classifier at the end of a model."""

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
    """Applies the dense layer "head" of the module whose compact method calls this.

    It is computed in float32 whatever the rest of the model is: it costs little, and the rounding
    of bfloat16, 3 digits, would be that of the logits.
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
