"""Shake-Shake networks: two residual branches, mixed at random in training.

Gastaldi 2017, "Shake-Shake regularization" (arXiv 1705.07485). A block adds a weighted mean of two
branches to its identity. In training the weights are drawn for each image and block, and drawn
again for the backward pass. In evaluation both weights are a half. The networks are those of
xgastaldi/shake-shake:

  shake_shake26  3x3 convolutions, for CIFAR-10: 26,192,922 params with a width of 96
  shake_shake29  bottlenecks with grouped convolutions, as in ResNeXt, for CIFAR-100: 34,529,700
"""

import functools
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.config import ConfigError, check_choice
from library.layers.checks import check_dtypes, check_sizes
from library.layers.convolution import convolution
from library.layers.head import linear_head
from library.layers.intermediates import store
from library.layers.normalization import norm

# Weights of the backward pass: "shake" draws them again, "even" makes both a half.
BACKWARD = ("shake", "even")

_he_normal = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
_conv = functools.partial(convolution, kernel_init=_he_normal)


def shake(
    first: Float[Array, "b h w c"],
    second: Float[Array, "b h w c"],
    forward: Float[Array, " b"],
    backward: Float[Array, " b"],
) -> Float[Array, "b h w c"]:
    """Returns forward * first + (1 - forward) * second, with the gradient of `backward` weights."""
    value, slope = (
        weight[:, None, None, None] * (first - second) + second for weight in (forward, backward)
    )
    return slope + jax.lax.stop_gradient(value - slope)


class Block(nn.Module):
    """Residual block with two branches, "branch1_conv1", "branch1_norm1", ... (figure 1).

    With `groups`, a branch is a bottleneck whose 3x3 convolution has these groups, a relu follows
    the sum, and a shortcut that changes the width is a 1x1 convolution. Without `groups`, a branch
    is two 3x3 convolutions, each after a relu, and a shortcut that changes the width concatenates
    two 1x1 convolutions, the second on features shifted by one pixel down and right.
    """

    features: int
    width: int
    stride: int
    groups: int
    backward: str
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b _ _ _"]:
        """Returns features; their height and width are the input's divided by the stride."""
        first, second = (self._branch(x, train, f"branch{i}") for i in (1, 2))
        halves = jnp.full(len(x), 0.5, self.dtype)
        forward = backward = halves
        if train:
            keys = jax.random.split(self.make_rng("dropout"))
            forward = jax.random.uniform(keys[0], (len(x),), self.dtype)
            if self.backward == "shake":
                backward = jax.random.uniform(keys[1], (len(x),), self.dtype)
        x = self._shortcut(x, train) if x.shape[-1] != self.features else x
        x = x + shake(first, second, forward, backward)
        return nn.relu(x) if self.groups else x

    def _branch(self, x, train, name):
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        layers = [(3, self.width, self.stride, 1), (3, self.features, 1, 1)]
        if self.groups:
            layers = [(1, self.width, 1, 1), (3, self.width, self.stride, self.groups)]
            layers += [(1, self.features, 1, 1)]
        x = x if self.groups else nn.relu(x)
        for i, (size, features, stride, groups) in enumerate(layers, 1):
            x = nn.relu(x) if i > 1 else x
            x = _conv(x, features, size, stride, groups=groups, name=f"{name}_conv{i}", **types)
            x = norm(x, "batch", name=f"{name}_norm{i}", train=train, **types)
        return x

    def _shortcut(self, x, train):
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        if self.groups:
            x = _conv(x, self.features, 1, self.stride, name="shortcut_conv", **types)
        else:
            x = nn.relu(x)
            moved = jnp.pad(x, ((0, 0), (1, 0), (1, 0), (0, 0)))[:, :-1, :-1]
            half = self.features // 2
            conv = partial(_conv, features=half, size=1, stride=self.stride, **types)
            parts = [conv(x, name="shortcut_conv1"), conv(moved, name="shortcut_conv2")]
            x = jnp.concatenate(parts, axis=-1)
        return norm(x, "batch", name="shortcut_norm", train=train, **types)


class ShakeShake(nn.Module):
    """A Shake-Shake network: 3x3 convolution, three stages of blocks, mean over space, linear head.

    Submodules are "stem_conv", "stem_norm", "stage1_block1", ..., "head". Stores "stage1",
    "stage2", "stage3" and "features" (b, d). In training it draws from the rng stream "dropout".

    Attributes:
      num_classes: size of the logits.
      stage_size: blocks of each stage; all but the first stage halve the height and width.
      width: width of the branches in the first stage; it doubles in each later stage.
      features: output channels of the first stage; they double in each later stage.
      stem_width: channels of the first convolution.
      groups: groups of a bottleneck's 3x3 convolution; 0 for branches of two 3x3 convolutions.
      backward: one of BACKWARD.
      dtype: type of the computation; the head is computed in float32.
      param_dtype: type of the params.
    """

    num_classes: int
    stage_size: int
    width: int
    features: int
    stem_width: int
    groups: int
    backward: str
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b k"]:
        """Returns logits, float32."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        x = _conv(image, self.stem_width, 3, name="stem_conv", **types)
        x = norm(x, "batch", name="stem_norm", train=train, **types)
        x = nn.relu(x) if self.groups else x
        for stage in range(3):
            for i in range(1, self.stage_size + 1):
                x = Block(
                    features=self.features * 2**stage,
                    width=self.width * 2**stage,
                    stride=2 if stage and i == 1 else 1,
                    groups=self.groups,
                    backward=self.backward,
                    name=f"stage{stage + 1}_block{i}",
                    **types,
                )(x, train)
            store(self, f"stage{stage + 1}", x)
        x = nn.relu(x).mean(axis=(1, 2))
        store(self, "features", x)
        init = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
        return linear_head(x, self.num_classes, kernel_init=init, param_dtype=self.param_dtype)


def shake_shake26(
    num_classes: int = 10,
    width: int = 96,
    backward: str = "shake",
    dtype: str = "float32",
    param_dtype: str = "float32",
) -> ShakeShake:
    """Builds a Shake-Shake network of 26 layers, by default "26 2x96d" of table 1.

    Args:
      num_classes: size of the logits.
      width: channels of the first stage, an even number: the shortcut joins two halves.
      backward: "shake" draws the weights again for the backward pass, "even" makes both a half.
      dtype: type of the computation.
      param_dtype: type of the params.

    Raises:
      ConfigError: a dtype or `backward` is unknown, a size is below 1, or the width is odd.
    """
    check_sizes(num_classes=num_classes, width=width)
    if width % 2:
        raise ConfigError(
            f"width={width}: the shortcut joins two halves, so it is even; nearest: {width + 1}"
        )
    check_choice("backward", backward, BACKWARD)
    check_dtypes(dtype, param_dtype)
    return ShakeShake(
        num_classes=num_classes,
        stage_size=4,
        width=width,
        features=width,
        stem_width=16,
        groups=0,
        backward=backward,
        dtype=dtype,
        param_dtype=param_dtype,
    )


def shake_shake29(
    num_classes: int = 100,
    width: int = 64,
    cardinality: int = 4,
    backward: str = "even",
    dtype: str = "float32",
    param_dtype: str = "float32",
) -> ShakeShake:
    """Builds a Shake-Shake ResNeXt of 29 layers, by default "29 2x4x64d" of table 2.

    Args:
      num_classes: size of the logits.
      width: channels of a group in the first stage.
      cardinality: groups of each branch.
      backward: "shake" or "even", see `shake_shake26`.
      dtype: type of the computation.
      param_dtype: type of the params.

    Raises:
      ConfigError: a dtype or `backward` is unknown, or a size is below 1.
    """
    check_sizes(num_classes=num_classes, width=width, cardinality=cardinality)
    check_choice("backward", backward, BACKWARD)
    check_dtypes(dtype, param_dtype)
    return ShakeShake(
        num_classes=num_classes,
        stage_size=3,
        width=width * cardinality,
        features=4 * width,
        stem_width=width,
        groups=cardinality,
        backward=backward,
        dtype=dtype,
        param_dtype=param_dtype,
    )
