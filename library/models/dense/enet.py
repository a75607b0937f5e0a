"""ENet: fast segmentation by few and narrow layers (Paszke et al. 2016).

"ENet: A Deep Neural Network Architecture for Real-Time Semantic Segmentation", arXiv 1606.02147,
table 1. Bottlenecks reduce their channels to a quarter, convolve, and expand again. The images are
halved early, twice; at an eighth of the size the windows are dilated or split into a column and a
row. The decoder is small: it unpools with the places of the maxima. As in the authors' program, the
encoder has a slope of PReLU for each channel, and the decoder has ReLU. Their decoder has no
dropout; here its bottlenecks have that of the paper's text.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from library.config import ConfigError
from library.layers.checks import check_dtypes, check_multiples, check_rates, check_sizes
from library.layers.intermediates import store
from library.layers.normalization import norm
from library.layers.unpooling import max_pool_with_switches, max_unpool
from library.variants import variant

# The convolutions of bottlenecks 2.1 to 2.8: the dilation, or 5 for a column and a row of 5.
MIDDLE = ("plain", "dilated2", "split", "dilated4", "plain", "dilated8", "split", "dilated16")

_he_normal = nn.initializers.variance_scaling(2.0, "fan_in", "normal")


class ENet(nn.Module):
    """ENet: images (b, h, w, c) -> logits (b, h, w, num_classes).

    Submodules are "initial_conv", ..., then the bottlenecks "block1_0" to "block5_1", numbered as
    in table 1, and "head", a transposed convolution. Stores "features" (b, 8 width), the means over
    space before the decoder.

    Attributes:
      num_classes: number of classes of a pixel.
      width: channels after the first block; later ones have 4 and 8 times as many.
      dropout: rates at which bottlenecks drop whole channels: before and from bottleneck 2.0 on.
      dtype: type of the computation.
      param_dtype: type of the params.

    Raises:
      ConfigError: the width is no multiple of 4, or a value is out of range.
    """

    num_classes: int = 12
    width: int = 16
    dropout: tuple[float, float] = (0.01, 0.1)
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_dtypes(self.dtype, self.param_dtype)
        check_sizes(num_classes=self.num_classes, width=self.width)
        for rate in self.dropout:
            check_rates(dropout=rate)
        if self.width % 4:
            raise ConfigError(
                f"width={self.width}: bottlenecks have a quarter of their channels; nearest: "
                f"{max(round(self.width / 4), 1) * 4}"
            )
        super().__post_init__()

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w c"], train: bool = False
    ) -> Float[Array, "b h w {self.num_classes}"]:
        """Returns the logits of each pixel, float32.

        Raises:
          ValueError: 8 does not divide a side of the image.
        """
        check_multiples("ENet", image, 8)
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        common = dict(train=train, types=types)
        early, late = self.dropout
        x = self._initial(image.astype(self.dtype), **common)
        x, first = Down(4 * self.width, dropout=early, name="block1_0", **common)(x)
        for i in range(1, 5):
            block = Bottleneck(4 * self.width, dropout=early, name=f"block1_{i}", **common)
            x = block(x)
        x, second = Down(8 * self.width, dropout=late, name="block2_0", **common)(x)
        for stage in (2, 3):
            for i, kind in enumerate(MIDDLE, 1):
                own = dict(kind=kind, dropout=late, name=f"block{stage}_{i}", **common)
                x = Bottleneck(8 * self.width, **own)(x)
        store(self, "features", jnp.mean(x, axis=(1, 2)))
        x = Up(4 * self.width, dropout=late, name="block4_0", **common)(x, second)
        own = dict(dropout=late, decoder=True, **common)
        x = Bottleneck(4 * self.width, name="block4_1", **own)(x)
        x = Bottleneck(4 * self.width, name="block4_2", **own)(x)
        x = Up(self.width, dropout=late, name="block5_0", **common)(x, first)
        x = Bottleneck(self.width, name="block5_1", **own)(x)
        head = nn.ConvTranspose(
            self.num_classes, (2, 2), (2, 2), kernel_init=_he_normal, name="head", **types
        )
        return head(x).astype(jnp.float32)

    def _initial(self, image: Array, train: bool, types: Mapping[str, Any]) -> Array:
        """Halves the image: a convolution, and beside it the maxima of the image itself."""
        convolved = nn.Conv(
            self.width - image.shape[-1],
            (3, 3),
            (2, 2),
            padding=1,
            kernel_init=_he_normal,
            name="initial_conv",
            **types,
        )(image)
        x = jnp.concatenate([convolved, nn.max_pool(image, (2, 2), (2, 2))], axis=-1)
        x = _normalized(x, "initial_norm", train, types)
        return PReLU(name="initial_prelu", param_dtype=self.param_dtype)(x)


class PReLU(nn.Module):
    """ReLU with a learned slope below zero for each channel (He et al. 2015, arXiv 1502.01852).

    Attributes:
      param_dtype: type of the slopes, which start at 0.25.
    """

    param_dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """Applies the function."""
        start = nn.initializers.constant(0.25)
        slope = self.param("slope", start, (x.shape[-1],), jnp.dtype(self.param_dtype))
        return jnp.where(x >= 0, x, slope.astype(x.dtype) * x)


class Bottleneck(nn.Module):
    """A bottleneck that keeps the size and the channels.

    Attributes:
      features: channels.
      kind: "plain", "split" (a column and a row of 5), or "dilated" and the dilation.
      decoder: whether it has ReLU in place of PReLU.
      dropout: rate at which channels of the branch are dropped.
      train: whether the network is in training.
      types: dtype and param_dtype.
    """

    features: int
    kind: str = "plain"
    decoder: bool = False
    dropout: float = 0.0
    train: bool = False
    types: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """Applies the bottleneck."""
        inside = self.features // 4
        y = _conv(x, inside, (1, 1), "reduce", self.types)
        y = self._activated(_normalized(y, "reduce_norm", self.train, self.types), "reduce_prelu")
        if self.kind == "split":
            y = _conv(y, inside, (5, 1), "column", self.types)
            y = _conv(y, inside, (1, 5), "row", self.types, bias=True)
        else:
            dilation = int(self.kind.removeprefix("dilated")) if self.kind != "plain" else 1
            y = _conv(y, inside, (3, 3), "conv", self.types, bias=True, dilation=dilation)
        y = self._activated(_normalized(y, "conv_norm", self.train, self.types), "conv_prelu")
        y = _expanded(y, self)
        return self._activated(x + y, "prelu")

    def _activated(self, x: Array, name: str) -> Array:
        return nn.relu(x) if self.decoder else PReLU(name=name, **_params(self.types))(x)


class Down(nn.Module):
    """A bottleneck that halves the size: returns features and the places of the maxima.

    Attributes:
      features: channels after it.
      dropout: rate at which channels of the branch are dropped.
      train: whether the network is in training.
      types: dtype and param_dtype.
    """

    features: int
    dropout: float = 0.0
    train: bool = False
    types: Any = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"]
    ) -> tuple[Float[Array, "b _ _ d"], Int[Array, "b _ _ c"]]:
        """Applies the bottleneck."""
        inside, own = self.features // 4, _params(self.types)
        y = _conv(x, inside, (2, 2), "reduce", self.types, stride=2)
        y = _normalized(y, "reduce_norm", self.train, self.types)
        y = PReLU(name="reduce_prelu", **own)(y)
        y = _conv(y, inside, (3, 3), "conv", self.types, bias=True)
        y = PReLU(name="conv_prelu", **own)(_normalized(y, "conv_norm", self.train, self.types))
        y = _expanded(y, self)
        pooled, switches = max_pool_with_switches(x)
        missing = self.features - x.shape[-1]
        pooled = jnp.pad(pooled, ((0, 0), (0, 0), (0, 0), (0, missing)))
        return PReLU(name="prelu", **own)(pooled + y), switches


class Up(nn.Module):
    """A bottleneck of the decoder that doubles the size, by unpooling beside its branch.

    Attributes:
      features: channels after it.
      dropout: rate at which channels of the branch are dropped.
      train: whether the network is in training.
      types: dtype and param_dtype.
    """

    features: int
    dropout: float = 0.0
    train: bool = False
    types: Any = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], switches: Int[Array, "b h w d"]
    ) -> Float[Array, "b _ _ d"]:
        """Applies the bottleneck."""
        inside = self.features // 4
        y = _conv(x, inside, (1, 1), "reduce", self.types)
        y = nn.relu(_normalized(y, "reduce_norm", self.train, self.types))
        # As PyTorch pads with padding=1 and output_padding=1.
        padding = ((1, 2), (1, 2))
        own = dict(kernel_init=_he_normal, padding=padding, name="conv", **self.types)
        y = nn.ConvTranspose(inside, (3, 3), (2, 2), **own)(y)
        y = nn.relu(_normalized(y, "conv_norm", self.train, self.types))
        y = _expanded(y, self)
        main = _conv(x, self.features, (1, 1), "main", self.types)
        main = _normalized(main, "main_norm", self.train, self.types)
        sides = (2 * x.shape[1], 2 * x.shape[2])
        return nn.relu(max_unpool(main, switches, sides) + y)


def _expanded(x: Array, block: Any) -> Array:
    """Returns the end of a branch: all channels, of which whole ones are dropped in training."""
    x = _conv(x, block.features, (1, 1), "expand", block.types)
    x = _normalized(x, "expand_norm", block.train, block.types)
    drop = nn.Dropout(
        block.dropout, broadcast_dims=(1, 2), deterministic=not block.train, name="dropout"
    )
    return drop(x)


def _conv(
    x: Array,
    features: int,
    size: tuple[int, int],
    name: str,
    types: Mapping[str, Any],
    *,
    bias: bool = False,
    stride: int = 1,
    dilation: int = 1,
) -> Array:
    return nn.Conv(
        features,
        size,
        (stride, stride),
        kernel_dilation=(dilation, dilation),
        use_bias=bias,
        kernel_init=_he_normal,
        name=name,
        **types,
    )(x)


def _normalized(x: Array, name: str, train: bool, types: Mapping[str, Any]) -> Array:
    return norm(x, "batch", name=name, train=train, epsilon=1e-3, **types)


def _params(types: Mapping[str, Any]) -> dict[str, Any]:
    return {"param_dtype": types["param_dtype"]}


enet = variant(ENet, "enet")
