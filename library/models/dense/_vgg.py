"""The stages of VGG, which FCN, DeconvNet and SegNet are built on."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float

from library.layers.normalization import norm

# Convolutions of each stage of VGG-16, and its channels in units of those of the first stage.
STAGE_SIZES = (2, 2, 3, 3, 3)
WIDTHS = (1, 2, 4, 8, 8)

he_normal = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


def convolutions(
    x: Float[Array, "b h w c"],
    widths: Sequence[int],
    name: str,
    *,
    train: bool,
    batch_norm: bool,
    size: int = 3,
    transposed: bool = False,
    types: dict[str, Any],
) -> Float[Array, "b h w d"]:
    """Applies convolutions, each with ReLU and, if wanted, batch normalization before it.

    Submodules of the calling module are "NAME_conv1", "NAME_norm1", ... With the names of VGG's
    stages, `init_from` takes the params of a trained VGG.

    Args:
      x: features.
      widths: channels of each convolution.
      name: how the names of the submodules begin.
      train: whether batch normalization uses the statistics of the batch.
      batch_norm: whether there is batch normalization.
      size: side of the windows.
      transposed: whether the convolutions are transposed, as in a deconvolution network.
      types: dtype and param_dtype.
    """
    layer = nn.ConvTranspose if transposed else nn.Conv
    for i, features in enumerate(widths, 1):
        own = f"{name}_conv{i}"
        x = layer(features, (size, size), kernel_init=he_normal, name=own, **types)(x)
        if batch_norm:
            x = norm(x, "batch", name=f"{name}_norm{i}", train=train, **types)
        x = nn.relu(x)
    return x
