"""Normalization of convolutional features, batch or group."""

import math
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

NORMS = ("batch", "group")


def norm(
    x: Float[Array, "b *space c"],
    kind: str,
    *,
    name: str,
    train: bool,
    zero_scale: bool = False,
    use_scale: bool = True,
    momentum: float = 0.9,
    epsilon: float = 1e-5,
    dtype: Any = jnp.float32,
    param_dtype: Any = jnp.float32,
) -> Float[Array, "b *space c"]:
    """Normalizes inside the compact method of a module, whose submodule `name` holds the params.

    "batch" (Ioffe & Szegedy 2015) normalizes by the statistics of the batch in training, those of
    its running averages otherwise (collection "batch_stats", of which a step keeps `momentum`;
    PyTorch's momentum is one minus this). The running variance is that of the population; PyTorch
    averages the n - 1 one.

    "group" (Wu & He 2018) normalizes each example over 32 groups of channels, fewer in narrow
    layers so that a group has at least two channels.

    Args:
      x: features, the last axis the channels.
      kind: one of NORMS.
      name: the submodule's name.
      train: whether the statistics are the batch's and the running averages move.
      zero_scale: starts the scale at zero, which makes a residual branch start as nothing.
      use_scale: whether there is a scale at all.
      momentum: of the running averages, for "batch".
      epsilon: added to the variance.
      dtype: of the computation; statistics are computed in float32 whatever it is.
      param_dtype: of scale and bias.
    """
    common = dict(
        epsilon=epsilon,
        use_scale=use_scale,
        scale_init=nn.initializers.zeros if zero_scale else nn.initializers.ones,
        dtype=dtype,
        param_dtype=param_dtype,
        name=name,
    )
    if kind == "group":
        return nn.GroupNorm(num_groups=num_groups(x.shape[-1]), **common)(x)
    return nn.BatchNorm(use_running_average=not train, momentum=momentum, **common)(x)


def num_groups(channels: int) -> int:
    """Returns the groups of a layer: 32 or its largest common divisor with half the channels."""
    return math.gcd(32, channels // 2) if channels % 2 == 0 else 1
