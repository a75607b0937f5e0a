"""The linear classifier at the end of a model, and what often comes just before it."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.layers.intermediates import store


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


def pooled_head(
    module: Any, x: Float[Array, "b h w d"], kernel_init: Any, train: bool
) -> Float[Array, "b k"]:
    """Applies the mean over space, the layer "dropout" and `linear_head`; stores "features" (b, d).

    Args:
      module: module whose compact method calls this, with the attributes `num_classes`, `dropout`,
        the rate, and `param_dtype`.
      x: features.
      kernel_init: initializer of the head's kernel.
      train: whether to apply dropout.
    """
    x = x.mean(axis=(1, 2))
    store(module, "features", x)
    x = nn.Dropout(module.dropout, deterministic=not train, name="dropout")(x)
    return linear_head(
        x, module.num_classes, kernel_init=kernel_init, param_dtype=module.param_dtype
    )
