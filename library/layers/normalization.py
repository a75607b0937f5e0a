"""Batch and group normalization of convolutional features."""

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
    """Normalizes features in the submodule `name` of the module whose compact method calls this.

    "batch" (Ioffe & Szegedy 2015) uses the statistics of the batch in training, and their running
    averages otherwise. The averages are in the collection "batch_stats", and a step keeps the share
    `momentum` of them. PyTorch's momentum is one minus this. The running variance averages the
    variance with divisor n. PyTorch averages the variance with divisor n - 1.

    "group" (Wu & He 2018) normalizes each example over 32 groups of channels. Narrow layers have
    fewer groups, so that a group has at least two channels.

    Args:
      x: features with the channels in the last axis.
      kind: one of NORMS.
      name: name of the submodule.
      train: whether "batch" uses the statistics of the batch and updates the running averages.
      zero_scale: starts the scale at zero, so that a residual branch starts as zero.
      use_scale: whether the layer has a scale.
      momentum: momentum of the running averages, for "batch".
      epsilon: number added to the variance.
      dtype: type of the computation; the statistics are always computed in float32.
      param_dtype: type of scale and bias.
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
    """Returns the number of groups: the greatest common divisor of 32 and half the channels.

    An odd number of channels gives one group.
    """
    return math.gcd(32, channels // 2) if channels % 2 == 0 else 1
