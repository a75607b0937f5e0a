"""The layers of Darknet's networks: a convolution, batch normalization and a leaky ReLU."""

from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float

from library.layers.convolution import convolution
from library.layers.normalization import norm

# Darknet keeps 0.99 of its running averages in a step.
_MOMENTUM = 0.99
_init = nn.initializers.variance_scaling(2.0, "fan_in", "normal")


def leaky(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """Returns x, or a tenth of x where it is negative."""
    return nn.leaky_relu(x, 0.1)


def conv_block(
    x: Float[Array, "b h w c"],
    features: int,
    size: int = 3,
    stride: int = 1,
    *,
    normalization: str = "batch",
    train: bool,
    name: str,
    dtype: Any,
    param_dtype: Any,
) -> Float[Array, "b _ _ {features}"]:
    """Applies the convolution `name`, the normalization `name`_norm and a leaky ReLU.

    Args:
      x: features.
      features: channels of the output.
      size: side of the window.
      stride: step of the window.
      normalization: "batch" or "group".
      train: whether batch statistics are used and averaged.
      name: name of the submodule, in the module whose compact method calls this.
      dtype: type of the computation.
      param_dtype: type of the params.
    """
    types = dict(dtype=dtype, param_dtype=param_dtype)
    x = convolution(x, features, size, stride, kernel_init=_init, name=name, **types)
    x = norm(x, normalization, name=f"{name}_norm", train=train, momentum=_MOMENTUM, **types)
    return leaky(x)


def residual_stages(
    x: Float[Array, "b h w c"], width: int, blocks: tuple[int, ...], **options: Any
) -> list[Float[Array, "b _ _ _"]]:
    """Applies Darknet-53 up to its classifier, and returns the features of each stage.

    A stage halves the image and doubles the channels. Its blocks reduce the channels by half and
    restore them. Layers are "stem", "stage1_down", "stage1_block1_conv1", ...

    Args:
      x: images.
      width: channels of the stem.
      blocks: number of residual blocks of each stage.
      **options: options of `conv_block` but for the name.
    """
    x, stages = conv_block(x, width, name="stem", **options), []
    for stage, count in enumerate(blocks, 1):
        features = width * 2**stage
        x = conv_block(x, features, stride=2, name=f"stage{stage}_down", **options)
        for block in range(1, count + 1):
            own = f"stage{stage}_block{block}"
            y = conv_block(x, features // 2, 1, name=f"{own}_conv1", **options)
            x = x + conv_block(y, features, name=f"{own}_conv2", **options)
        stages.append(x)
    return stages


# Channels of Darknet-19 in units of the first, by stage; every second window has a single pixel.
PLAIN = ((1,), (2,), (4, 2, 4), (8, 4, 8), (16, 8, 16, 8, 16), (32, 16, 32, 16, 32))


def plain_stages(
    x: Float[Array, "b h w c"], width: int, **options: Any
) -> list[Float[Array, "b _ _ _"]]:
    """Applies Darknet-19 up to its classifier, and returns the features of each stage.

    Max pooling halves the features between stages. Layers are "stage1_conv1", ...

    Args:
      x: images.
      width: channels of the first layer.
      **options: options of `conv_block` but for the name.
    """
    stages = []
    for stage, factors in enumerate(PLAIN, 1):
        if stages:
            x = nn.max_pool(x, (2, 2), (2, 2))
        for i, factor in enumerate(factors, 1):
            size = 3 if i % 2 else 1
            x = conv_block(x, width * factor, size, name=f"stage{stage}_conv{i}", **options)
        stages.append(x)
    return stages
