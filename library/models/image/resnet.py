"""Residual networks of versions 1 and 2, for ImageNet and CIFAR.

Version 1 is He, Zhang, Ren & Sun 2015, "Deep residual learning for image recognition" (arXiv
1512.03385). The stride is in the 3x3 convolution of a bottleneck, as in torchvision and most later
code; the paper strides the first 1x1 convolution. Version 2, `_v2`, is He et al. 2016, "Identity
mappings in deep residual networks" (arXiv 1603.05027). It normalizes and rectifies before each
convolution, and the identity path has no operation. The sizes for ImageNet are numerically the same
as timm's resnetv2_18, ..., resnetv2_152.

Params with batch normalization, 1000 classes (10 for the CIFAR networks, with option A shortcuts):

  resnet18   11,689,512    resnet18_v2    11,687,720    resnet20      269,722
  resnet34   21,797,672    resnet34_v2    21,795,880    resnet32      464,154
  resnet50   25,557,032    resnet50_v2    25,549,352    resnet44      658,586
  resnet101  44,549,160    resnet101_v2   44,541,480    resnet56      853,018
  resnet152  60,192,808    resnet152_v2   60,185,128    resnet110   1,727,962

  With projections: resnet20_v2 272,282, resnet56_v2 855,578, resnet110_v2 1,730,522, and
  resnet164_v2, which has bottlenecks, 1,703,258.
"""

import functools
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.config import check_choice
from library.layers.checks import check_dtypes, check_rates, check_sizes
from library.layers.convolution import convolution
from library.layers.head import linear_head
from library.layers.intermediates import store
from library.layers.normalization import NORMS, norm
from library.layers.remat import with_remat
from library.layers.squeeze_excite import SqueezeExcite
from library.layers.stochastic_depth import StochasticDepth, rates
from library.variants import variant

# For each convolution of a block: kernel size, width in units of the block's, whether it strides.
BLOCKS = {
    "basic": ((3, 1, True), (3, 1, False)),
    "bottleneck": ((1, 1, False), (3, 1, True), (1, 4, False)),
}
# Kernel size and stride of the first convolution, and whether max pooling follows it.
STEMS = {"imagenet": (7, 2, True), "cifar": (3, 1, False), "strided": (3, 2, False)}
# Option A of the paper pads the identity with zero channels; B projects it where shapes change.
SHORTCUTS = ("pad", "projection")

_he_normal = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
_conv = functools.partial(convolution, kernel_init=_he_normal)


class Block(nn.Module):
    """Residual block of version 1: relu(x + normalized convolutions of x), figure 5.

    With `zero_init`, the scale of the last normalization starts at zero, so that the block starts
    as its shortcut (Goyal et al. 2017, section 5.1). `widen` is a factor of the width of a
    bottleneck between its 1x1 convolutions. `groups` are the groups of its 3x3 convolution. With
    `reduction`, squeeze-and-excitation ends the residual branch; the channels between its two
    layers are those of the branch divided by `reduction`.
    """

    kind: str
    width: int
    stride: int
    shortcut: str
    norm: str = "batch"
    zero_init: bool = False
    groups: int = 1
    widen: int = 1
    reduction: int | None = None
    drop_path: float = 0.0
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b _ _ _"]:
        """Returns features; their height and width are the input's divided by the stride."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        normalize = partial(norm, kind=self.norm, train=train, **types)
        layers = BLOCKS[self.kind]
        y = x
        for i, (size, factor, strided) in enumerate(layers, 1):
            last = i == len(layers)
            width = self.width * factor * (1 if last else self.widen)
            options = types | dict(groups=1 if size == 1 else self.groups)
            y = _conv(y, width, size, self.stride if strided else 1, name=f"conv{i}", **options)
            y = normalize(y, name=f"norm{i}", zero_scale=last and self.zero_init)
            y = y if last else nn.relu(y)
        if self.reduction:
            hidden = y.shape[-1] // self.reduction
            y = SqueezeExcite(hidden, name="squeeze_excite", **types)(y)
        if self.drop_path:
            y = StochasticDepth(self.drop_path, name="drop_path")(y, train)
        if x.shape == y.shape:
            return nn.relu(x + y)
        if self.shortcut == "pad":
            return nn.relu(_pad(x, self.stride, y.shape[-1]) + y)
        x = _conv(x, y.shape[-1], 1, self.stride, name="shortcut_conv", **types)
        return nn.relu(normalize(x, name="shortcut_norm") + y)


class PreactivationBlock(nn.Module):
    """Residual block of version 2: x + convolutions of normalized and rectified x, figure 1b.

    If the shape changes, the projection also takes the normalized and rectified x. With
    `zero_init`, the last convolution starts at zero: a zero scale before a relu would never receive
    a gradient. Dropout precedes the last convolution (Zagoruyko & Komodakis 2016, section 2.4).
    """

    kind: str
    width: int
    stride: int
    shortcut: str
    norm: str = "batch"
    zero_init: bool = False
    dropout: float = 0.0
    drop_path: float = 0.0
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b _ _ _"]:
        """Returns features; their height and width are the input's divided by the stride."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        layers = BLOCKS[self.kind]
        y, preactivated = x, []
        for i, (size, factor, strided) in enumerate(layers, 1):
            y = nn.relu(norm(y, self.norm, train=train, name=f"norm{i}", **types))
            preactivated.append(y)
            last = i == len(layers)
            if last:
                y = nn.Dropout(self.dropout, deterministic=not train, name="dropout")(y)
            init = nn.initializers.zeros if last and self.zero_init else _he_normal
            stride = self.stride if strided else 1
            y = _conv(
                y, self.width * factor, size, stride, kernel_init=init, name=f"conv{i}", **types
            )
        if self.drop_path:
            y = StochasticDepth(self.drop_path, name="drop_path")(y, train)
        if x.shape == y.shape:
            return x + y
        if self.shortcut == "pad":
            return _pad(x, self.stride, y.shape[-1]) + y
        x = _conv(preactivated[0], y.shape[-1], 1, self.stride, name="shortcut_conv", **types)
        return x + y


class ResNet(nn.Module):
    """A residual network: stem, stages of residual blocks, mean over space, linear head.

    Submodules are "stem_conv", "stem_norm" (version 1), "stage1_block1", ..., "final_norm" (version
    2), "head". Stores "stage1", "stage2", ... and "features" (b, d).

    Attributes:
      num_classes: size of the logits.
      stage_sizes: blocks of each stage; all but the first stage halve the height and width.
      widths: width of the blocks of each stage.
      stem_width: channels of the first convolution.
      kind: a key of BLOCKS.
      preactivation: whether the blocks are those of version 2.
      stem: a key of STEMS.
      shortcut: one of SHORTCUTS, for blocks that change the shape.
      norm: "batch" or "group".
      zero_init: whether each block starts as its shortcut.
      groups: groups of the 3x3 convolution of a bottleneck, in version 1.
      widen: factor of a bottleneck's width between its 1x1 convolutions, in version 1.
      reduction: reduction of squeeze-and-excitation in version 1; None leaves it out.
      dropout: rate within the blocks of version 2.
      drop_path: rate of stochastic depth in the last block; it grows linearly from 0 in the first.
      remat: recomputes blocks in the backward pass to save memory, see `layers.remat`.
      dtype: type of the computation; the head is computed in float32.
      param_dtype: type of the params.
    """

    num_classes: int
    stage_sizes: tuple[int, ...]
    widths: tuple[int, ...]
    stem_width: int
    kind: str
    preactivation: bool
    stem: str
    shortcut: str
    norm: str = "batch"
    zero_init: bool = False
    groups: int = 1
    widen: int = 1
    reduction: int | None = None
    dropout: float = 0.0
    drop_path: float = 0.0
    remat: bool | str = False
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b k"]:
        """Returns logits, float32."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        normalize = partial(norm, kind=self.norm, train=train, **types)
        size, stride, pool = STEMS[self.stem]
        x = _conv(image, self.stem_width, size, stride, name="stem_conv", **types)
        x = x if self.preactivation else nn.relu(normalize(x, name="stem_norm"))
        x = nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1))) if pool else x
        block = Block
        options = dict(groups=self.groups, widen=self.widen, reduction=self.reduction)
        if self.preactivation:
            block, options = PreactivationBlock, dict(dropout=self.dropout)
        block = with_remat(block, self.remat, static_argnums=(2,))
        drop_rates = iter(rates(self.drop_path, sum(self.stage_sizes)))
        for stage, (blocks, width) in enumerate(zip(self.stage_sizes, self.widths), 1):
            for i in range(1, blocks + 1):
                x = block(
                    kind=self.kind,
                    width=width,
                    stride=2 if stage > 1 and i == 1 else 1,
                    shortcut=self.shortcut,
                    norm=self.norm,
                    zero_init=self.zero_init,
                    drop_path=next(drop_rates),
                    name=f"stage{stage}_block{i}",
                    **options,
                    **types,
                )(x, train)
            store(self, f"stage{stage}", x)
        x = nn.relu(normalize(x, name="final_norm")) if self.preactivation else x
        x = x.mean(axis=(1, 2))
        store(self, "features", x)
        init = nn.initializers.normal(0.01)
        return linear_head(x, self.num_classes, kernel_init=init, param_dtype=self.param_dtype)


def _resnet(
    num_classes: int = 1000,
    stem: str = "imagenet",
    shortcut: str = "projection",
    norm: str = "batch",
    width: int = 64,
    zero_init: bool = True,
    drop_path: float = 0.0,
    remat: bool | str = False,
    dtype: str = "float32",
    param_dtype: str = "float32",
    *,
    kind: str,
    stage_sizes: tuple[int, ...],
    version: int,
) -> ResNet:
    """Builds a residual network whose stages are 1, 2, 4, ... times `width` wide.

    Args:
      num_classes: size of the logits.
      stem: "imagenet" (7x7 with stride 2, max pooling), "cifar" (3x3) for small images, or
        "strided" (3x3 with stride 2) for a quarter of the computation of "cifar".
      shortcut: "projection", option B of the paper, or "pad", option A. "pad" takes every second
        pixel and adds channels of zeros, half of them on each side.
      norm: "batch" or "group".
      width: channels of the stem; a first stage of bottlenecks has four times as many at its end.
      zero_init: whether each block starts as its shortcut, unlike in the papers.
      drop_path: rate at which the last block's residual is dropped (Huang et al. 2016); it grows
        linearly from 0 in the first block.
      remat: recomputes blocks in the backward pass to save memory, see `layers.remat`.
      dtype: type of the computation.
      param_dtype: type of the params.
      kind: a key of BLOCKS.
      stage_sizes: blocks of each stage.
      version: 1 or 2.

    Raises:
      ConfigError: a stem, shortcut, norm or dtype is unknown, a size is below 1, or a rate is
        outside [0, 1).
    """
    check_sizes(num_classes=num_classes, width=width)
    check_rates(drop_path=drop_path)
    check_choice("stem", stem, STEMS)
    check_choice("shortcut", shortcut, SHORTCUTS)
    check_choice("norm", norm, NORMS)
    check_dtypes(dtype, param_dtype)
    return ResNet(
        num_classes=num_classes,
        stage_sizes=stage_sizes,
        widths=tuple(width * 2**stage for stage in range(len(stage_sizes))),
        stem_width=width,
        kind=kind,
        preactivation=version == 2,
        stem=stem,
        shortcut=shortcut,
        norm=norm,
        zero_init=zero_init,
        drop_path=drop_path,
        remat=remat,
        dtype=dtype,
        param_dtype=param_dtype,
    )


# He et al. 2015, table 1.
_imagenet = partial(variant, _resnet, shortcut="projection")
resnet18 = _imagenet("resnet18", kind="basic", stage_sizes=(2, 2, 2, 2), version=1)
resnet34 = _imagenet("resnet34", kind="basic", stage_sizes=(3, 4, 6, 3), version=1)
resnet50 = _imagenet("resnet50", kind="bottleneck", stage_sizes=(3, 4, 6, 3), version=1)
resnet101 = _imagenet("resnet101", kind="bottleneck", stage_sizes=(3, 4, 23, 3), version=1)
resnet152 = _imagenet("resnet152", kind="bottleneck", stage_sizes=(3, 8, 36, 3), version=1)
resnet18_v2 = _imagenet("resnet18_v2", kind="basic", stage_sizes=(2, 2, 2, 2), version=2)
resnet34_v2 = _imagenet("resnet34_v2", kind="basic", stage_sizes=(3, 4, 6, 3), version=2)
resnet50_v2 = _imagenet("resnet50_v2", kind="bottleneck", stage_sizes=(3, 4, 6, 3), version=2)
resnet101_v2 = _imagenet("resnet101_v2", kind="bottleneck", stage_sizes=(3, 4, 23, 3), version=2)
resnet152_v2 = _imagenet("resnet152_v2", kind="bottleneck", stage_sizes=(3, 8, 36, 3), version=2)

# He et al. 2015, section 4.2.
_SMALL = dict(num_classes=10, width=16, zero_init=False)
_cifar = partial(variant, _resnet, stem="cifar", drop_path=0.0)
_cifar_v1 = partial(_cifar, version=1, kind="basic", defaults=_SMALL | dict(shortcut="pad"))
_cifar_v2 = partial(_cifar, version=2, defaults=_SMALL)
resnet20 = _cifar_v1("resnet20", stage_sizes=(3, 3, 3))
resnet32 = _cifar_v1("resnet32", stage_sizes=(5, 5, 5))
resnet44 = _cifar_v1("resnet44", stage_sizes=(7, 7, 7))
resnet56 = _cifar_v1("resnet56", stage_sizes=(9, 9, 9))
resnet110 = _cifar_v1("resnet110", stage_sizes=(18, 18, 18))
resnet20_v2 = _cifar_v2("resnet20_v2", kind="basic", stage_sizes=(3, 3, 3))
resnet56_v2 = _cifar_v2("resnet56_v2", kind="basic", stage_sizes=(9, 9, 9))
resnet110_v2 = _cifar_v2("resnet110_v2", kind="basic", stage_sizes=(18, 18, 18))
resnet164_v2 = _cifar_v2("resnet164_v2", kind="bottleneck", stage_sizes=(18, 18, 18))


def _pad(x, stride, channels):
    new = channels - x.shape[-1]
    padding = ((0, 0), (0, 0), (0, 0), (new // 2, new - new // 2))
    return jnp.pad(x[:, ::stride, ::stride], padding)
