"""The U-Net of denoising diffusion (Ho et al. 2020, arXiv 2006.11239, appendix B).

It predicts the noise of an image, or another target of diffusion, from the noisy image and its
time. With the defaults it is the paper's network for CIFAR-10, with 35,746,307 params. Nichol &
Dhariwal 2021 (arXiv 2102.09672, section 2.3 and appendix A) use three blocks in each level,
attention with four heads at 16 and 8 pixels, and a time that scales and shifts the second
normalization: `scale_shift`. Embeddings of classes are added to the time (Dhariwal & Nichol 2021,
arXiv 2105.05233, section 3.1).

`patch_size` is not from the papers. Before the first convolution it turns patches into the channels
of a smaller image, and after the last convolution it undoes this. On small machines this saves
most of the time.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from library.config import ConfigError
from library.layers.checks import (
    check_dtypes,
    check_heads,
    check_rates,
    check_sizes,
    nearest_multiples,
)
from library.layers.intermediates import store
from library.layers.normalization import num_groups
from library.variants import variant

_fan_average = nn.initializers.variance_scaling(1.0, "fan_avg", "uniform")


class ResidualBlock(nn.Module):
    """Residual block of two normalized convolutions, with the embedding of time between them."""

    width: int
    dropout: float = 0.0
    scale_shift: bool = False
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], embedding: Float[Array, "b e"], train: bool
    ) -> Float[Array, "b h w _"]:
        """Returns features with `width` channels."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        y = nn.silu(_group_norm(x, name="norm1", **types))
        y = _conv(y, self.width, name="conv1", **types)
        size = self.width * (2 if self.scale_shift else 1)
        moved = nn.Dense(size, kernel_init=_fan_average, name="embedding", **types)
        moved = moved(nn.silu(embedding))[:, None, None, :]
        if self.scale_shift:
            scale, shift = jnp.split(moved, 2, axis=-1)
            y = _group_norm(y, name="norm2", **types) * (1 + scale) + shift
        else:
            y = _group_norm(y + moved, name="norm2", **types)
        y = nn.Dropout(self.dropout, deterministic=not train, name="dropout")(nn.silu(y))
        y = _conv(y, self.width, init=nn.initializers.zeros, name="conv2", **types)
        if x.shape[-1] != self.width:
            x = nn.Dense(self.width, kernel_init=_fan_average, name="shortcut", **types)(x)
        return x + y


class AttentionBlock(nn.Module):
    """Self-attention between the positions of a feature map, added to the features."""

    num_heads: int
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """Returns features of the input's shape."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        batch, height, width, channels = x.shape
        split = (self.num_heads, channels // self.num_heads)
        y = _group_norm(x, name="norm", **types).reshape(batch, height * width, channels)
        query, key, value = (
            nn.DenseGeneral(split, kernel_init=_fan_average, name=name, **types)(y)
            for name in ("query", "key", "value")
        )
        y = jax.nn.dot_product_attention(query, key, value)
        out = nn.DenseGeneral(
            channels, axis=(-2, -1), kernel_init=nn.initializers.zeros, name="out", **types
        )
        return x + out(y).reshape(x.shape)


class UNet(nn.Module):
    """U-Net: levels of residual blocks down, a middle, and levels up with skip connections.

    Submodules are "time1", "time2", "classes" (an embedding, if labels are given), "stem",
    "down1_block1", "down1_attention1", "down1_sampler", ..., "middle_block1", "middle_attention",
    "middle_block2", "up4_block1", ..., "up4_sampler", ..., "final_norm", "head". Stores "stage1",
    ..., the output of each level on the way down, "middle", and "features" (b, d), its mean.

    Attributes:
      width: channels of the first level.
      multipliers: factor of `width` in each level; the sides are halved between two levels.
      num_blocks: residual blocks of each level; on the way up there is one more.
      attention: heights of the feature maps in which attention follows every block. The height of
        the first level is that of the image over `patch_size`.
      num_heads: heads of each attention layer.
      dropout: rate before the second convolution of a block.
      scale_shift: whether the time scales and shifts the normalized features, or is added.
      patch_size: side of the patches that become channels.
      num_classes: number of classes, if labels are given; the label `num_classes` means no class.
      num_out: channels of the output, by default those of the image; twice that for learned
        variances.
      dtype: type of the computation; the output is float32.
      param_dtype: type of the params.

    Raises:
      ConfigError: a dtype is unknown, a rate is outside [0, 1), a size is below 1, there are no
        levels, or the width is odd, less than 4 or not a multiple of `num_heads`.
    """

    width: int = 128
    multipliers: tuple[int, ...] = (1, 2, 2, 2)
    num_blocks: int = 2
    attention: tuple[int, ...] = (16,)
    num_heads: int = 1
    dropout: float = 0.1
    scale_shift: bool = False
    patch_size: int = 1
    num_classes: int | None = None
    num_out: int | None = None
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_sizes(
            width=self.width,
            multipliers=self.multipliers,
            num_blocks=self.num_blocks,
            attention=self.attention,
            num_heads=self.num_heads,
            patch_size=self.patch_size,
            num_classes=1 if self.num_classes is None else self.num_classes,
            num_out=1 if self.num_out is None else self.num_out,
        )
        check_rates(dropout=self.dropout)
        check_dtypes(self.dtype, self.param_dtype)
        if not self.multipliers:
            raise ConfigError("multipliers=(): a U-Net has one level or more")
        if self.width % 2 or self.width < 4:
            nearest = _even(self.width)
            raise ConfigError(
                f"width={self.width}: half of it are sines of the time, so valid are even numbers "
                f"from 4; nearest: {nearest}"
            )
        check_heads(width=self.width, num_heads=self.num_heads)
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        image: Float[Array, "b h w c"],
        time: Float[Array, " b"],
        label: Int[Array, " b"] | None = None,
        train: bool = False,
    ) -> Float[Array, "b h w k"]:
        """Returns the prediction, float32, with the size of the image and `num_out` channels.

        Args:
          image: noisy images.
          time: time of each image, 0 to 1000.
          label: class of each image; `num_classes` means no class.
          train: whether to apply dropout.

        Raises:
          ValueError: the sides cannot be cut into patches and then halved between all levels, or no
            feature map has a height of `attention`.
        """
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        self._check_size(*image.shape[1:3])
        embedding = self._embed(time, label)
        x = space_to_depth(image.astype(self.dtype), self.patch_size)
        x = _conv(x, self.width, name="stem", **types)
        passed, last = [x], len(self.multipliers)
        for level, multiplier in enumerate(self.multipliers, 1):
            for i in range(1, self.num_blocks + 1):
                x = self._block(x, embedding, train, multiplier, f"down{level}", i)
                passed.append(x)
            store(self, f"stage{level}", x)
            if level < last:
                x = _conv(x, x.shape[-1], stride=2, name=f"down{level}_sampler", **types)
                passed.append(x)
        x = self._middle(x, embedding, train)
        for level in range(last, 0, -1):
            for i in range(1, self.num_blocks + 2):
                x = jnp.concatenate([x, passed.pop()], axis=-1)
                x = self._block(x, embedding, train, self.multipliers[level - 1], f"up{level}", i)
            if level > 1:
                x = x.repeat(2, axis=1).repeat(2, axis=2)
                x = _conv(x, x.shape[-1], name=f"up{level}_sampler", **types)
        x = nn.silu(_group_norm(x, name="final_norm", **types))
        channels = (self.num_out or image.shape[-1]) * self.patch_size**2
        x = _conv(x, channels, init=nn.initializers.zeros, name="head", **types)
        return depth_to_space(x.astype(jnp.float32), self.patch_size)

    def _embed(self, time, label):
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        size = 4 * self.width
        x = sinusoids(time, self.width)
        x = nn.Dense(size, kernel_init=_fan_average, name="time1", **types)(x)
        x = nn.Dense(size, kernel_init=_fan_average, name="time2", **types)(nn.silu(x))
        if label is None:
            return x
        if self.num_classes is None:
            raise ValueError("the model got labels, but num_classes=None: set num_classes")
        # The deviation of PyTorch: with a smaller one, the time dominates the class for many steps.
        init = nn.initializers.normal(1.0)
        classes = nn.Embed(self.num_classes + 1, size, embedding_init=init, name="classes", **types)
        return x + classes(label)

    def _block(self, x, embedding, train, multiplier, level, i):
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        width = self.width * multiplier
        x = ResidualBlock(width, self.dropout, self.scale_shift, name=f"{level}_block{i}", **types)(
            x, embedding, train
        )
        if x.shape[1] not in self.attention:
            return x
        return AttentionBlock(self.num_heads, name=f"{level}_attention{i}", **types)(x)

    def _middle(self, x, embedding, train):
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        block = (x.shape[-1], self.dropout, self.scale_shift)
        x = ResidualBlock(*block, name="middle_block1", **types)(x, embedding, train)
        x = AttentionBlock(self.num_heads, name="middle_attention", **types)(x)
        x = ResidualBlock(*block, name="middle_block2", **types)(x, embedding, train)
        store(self, "middle", x)
        store(self, "features", x.mean(axis=(1, 2)))
        return x

    def _check_size(self, height, width):
        unit = self.patch_size * 2 ** (len(self.multipliers) - 1)
        if height % unit or width % unit:
            raise ValueError(
                f"a {height}x{width} image does not divide into patches of {self.patch_size} "
                f"halved {len(self.multipliers) - 1} times; "
                f"nearest: {nearest_multiples(height, width, unit)}"
            )
        heights = [height // self.patch_size // 2**level for level in range(len(self.multipliers))]
        for wanted in self.attention:
            if wanted not in heights:
                raise ValueError(
                    f"attention={self.attention}: no feature map is {wanted} high; the heights are "
                    f"{heights}; nearest: {min(heights, key=lambda h: abs(h - wanted))}"
                )


ddpm_unet = variant(UNet, "ddpm_unet")


def sinusoids(time: Float[Array, " b"], size: int) -> Float[Array, "b d"]:
    """Returns sines, then cosines, of the time at size / 2 frequencies from 1 to 1 / 10000."""
    half = size // 2
    frequencies = np.exp(-np.log(10_000) * np.arange(half) / (half - 1)).astype(np.float32)
    angles = time[:, None] * frequencies
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


def space_to_depth(image: Float[Array, "b h w c"], size: int) -> Float[Array, "b hp wp d"]:
    """Turns each `size` x `size` patch into the channels (row, column, channel) of one position."""
    batch, height, width, channels = image.shape
    x = image.reshape(batch, height // size, size, width // size, size, channels)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height // size, width // size, -1)


def depth_to_space(x: Float[Array, "b hp wp d"], size: int) -> Float[Array, "b h w c"]:
    """Undoes `space_to_depth`."""
    batch, height, width, _ = x.shape
    x = x.reshape(batch, height, width, size, size, -1).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(batch, height * size, width * size, -1)


def _conv(x, features, *, stride=1, init=_fan_average, name, dtype, param_dtype):
    return nn.Conv(
        features,
        kernel_size=(3, 3),
        strides=(stride, stride),
        kernel_init=init,
        dtype=dtype,
        param_dtype=param_dtype,
        name=name,
    )(x)


def _group_norm(x, *, name, dtype, param_dtype):
    groups = num_groups(x.shape[-1])
    norm = nn.GroupNorm(groups, epsilon=1e-6, dtype=dtype, param_dtype=param_dtype, name=name)
    return norm(x)


def _even(width):
    return max(round(width / 2) * 2, 4)
