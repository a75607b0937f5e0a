"""Inception-v3, and its variant for Frechet inception distances.

Szegedy, Vanhoucke, Ioffe, Shlens & Wojna 2016, "Rethinking the Inception architecture for computer
vision" (arXiv 1512.00567), section 6, with the layout of torchvision: 23,834,568 params with a
thousand classes, 27,161,264 with the auxiliary classifier. Modules have torchvision's names in
lower case.

The variant "fid" is the TensorFlow graph of 2015-12-05, with 1008 classes, which Heusel et al. 2017
(arXiv 1706.08500) use, as in pytorch-fid. Its average pooling does not count the padding, and its
last module pools the maximum instead of the average.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.config import check_choice
from library.layers.checks import check_dtypes, check_image, check_rates, check_sizes
from library.layers.head import pooled_head
from library.layers.intermediates import store
from library.layers.normalization import norm
from library.variants import variant


class Conv(NamedTuple):
    """A convolution, batch normalization and relu. A strided convolution has no padding."""

    name: str
    features: int
    kernel: tuple[int, int]
    stride: int = 1
    padding: str = "SAME"


# Whether average pooling with stride 1 counts the padding, and the pooling of the last module.
VARIANTS = {
    "torchvision": dict(count_padding=True, last_pool="average"),
    "fid": dict(count_padding=False, last_pool="maximum"),
}
POOL = "pool"
HALVE = "halve"

STEM = (
    (
        Conv("conv2d_1a_3x3", 32, (3, 3), 2),
        Conv("conv2d_2a_3x3", 32, (3, 3), padding="VALID"),
        Conv("conv2d_2b_3x3", 64, (3, 3)),
    ),
    (Conv("conv2d_3b_1x1", 80, (1, 1)), Conv("conv2d_4a_3x3", 192, (3, 3), padding="VALID")),
)


def _a(pooled: int) -> tuple:
    """Returns the branches of figure 5 (5x5 as two 3x3), each a chain of steps."""
    return (
        (Conv("branch1x1", 64, (1, 1)),),
        (Conv("branch5x5_1", 48, (1, 1)), Conv("branch5x5_2", 64, (5, 5))),
        (
            Conv("branch3x3dbl_1", 64, (1, 1)),
            Conv("branch3x3dbl_2", 96, (3, 3)),
            Conv("branch3x3dbl_3", 96, (3, 3)),
        ),
        (POOL, Conv("branch_pool", pooled, (1, 1))),
    )


def _c(width: int) -> tuple:
    """Returns the branches of figure 6 (7x7 as 1x7 and 7x1)."""
    return (
        (Conv("branch1x1", 192, (1, 1)),),
        (
            Conv("branch7x7_1", width, (1, 1)),
            Conv("branch7x7_2", width, (1, 7)),
            Conv("branch7x7_3", 192, (7, 1)),
        ),
        (
            Conv("branch7x7dbl_1", width, (1, 1)),
            Conv("branch7x7dbl_2", width, (7, 1)),
            Conv("branch7x7dbl_3", width, (1, 7)),
            Conv("branch7x7dbl_4", width, (7, 1)),
            Conv("branch7x7dbl_5", 192, (1, 7)),
        ),
        (POOL, Conv("branch_pool", 192, (1, 1))),
    )


# Figure 10: strided and pooled branches in parallel halve the grid.
_B = (
    (Conv("branch3x3", 384, (3, 3), 2),),
    (
        Conv("branch3x3dbl_1", 64, (1, 1)),
        Conv("branch3x3dbl_2", 96, (3, 3)),
        Conv("branch3x3dbl_3", 96, (3, 3), 2),
    ),
    (HALVE,),
)
_D = (
    (Conv("branch3x3_1", 192, (1, 1)), Conv("branch3x3_2", 320, (3, 3), 2)),
    (
        Conv("branch7x7x3_1", 192, (1, 1)),
        Conv("branch7x7x3_2", 192, (1, 7)),
        Conv("branch7x7x3_3", 192, (7, 1)),
        Conv("branch7x7x3_4", 192, (3, 3), 2),
    ),
    (HALVE,),
)
# Figure 7: wider filter banks. A tuple in a chain is a fork, whose ends are concatenated.
_E = (
    (Conv("branch1x1", 320, (1, 1)),),
    (
        Conv("branch3x3_1", 384, (1, 1)),
        (Conv("branch3x3_2a", 384, (1, 3)), Conv("branch3x3_2b", 384, (3, 1))),
    ),
    (
        Conv("branch3x3dbl_1", 448, (1, 1)),
        Conv("branch3x3dbl_2", 384, (3, 3)),
        (Conv("branch3x3dbl_3a", 384, (1, 3)), Conv("branch3x3dbl_3b", 384, (3, 1))),
    ),
    (POOL, Conv("branch_pool", 192, (1, 1))),
)

MODULES = {
    "mixed_5b": _a(32),
    "mixed_5c": _a(64),
    "mixed_5d": _a(64),
    "mixed_6a": _B,
    "mixed_6b": _c(128),
    "mixed_6c": _c(160),
    "mixed_6d": _c(160),
    "mixed_6e": _c(192),
    "mixed_7a": _D,
    "mixed_7b": _E,
    "mixed_7c": _E,
}
# Smallest side of an image, without and with the auxiliary classifier.
SMALLEST, SMALLEST_AUX = 75, 299

_initial = partial(nn.initializers.truncated_normal, lower=-2.0, upper=2.0)


class ConvNorm(nn.Module):
    """Convolution "conv" without bias, batch normalization "norm" (epsilon 1e-3), relu."""

    spec: Conv
    kernel_init: Callable = _initial(0.1)
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b _ _ _"]:
        """Returns features with `spec.features` channels."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        stride = self.spec.stride
        x = nn.Conv(
            self.spec.features,
            self.spec.kernel,
            strides=(stride, stride),
            padding="VALID" if stride > 1 else self.spec.padding,
            use_bias=False,
            kernel_init=self.kernel_init,
            name="conv",
            **types,
        )(x)
        return nn.relu(norm(x, "batch", name="norm", train=train, epsilon=1e-3, **types))


class Mixed(nn.Module):
    """An Inception module: parallel branches whose channels are concatenated.

    Attributes:
      branches: chains of steps; a step is a Conv, a tuple of them (a fork), POOL or HALVE.
      pool: pooling of POOL, "average" or "maximum" of 3x3 with stride 1.
      count_padding: whether average pooling counts the zeros around the image.
      kernel_init: initializer of the kernels.
      dtype: type of the computation.
      param_dtype: type of the params.
    """

    branches: tuple
    pool: str
    count_padding: bool
    kernel_init: Callable = _initial(0.1)
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b _ _ _"]:
        """Returns the channels of the branches, in the order of `branches`."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)

        def step(y, what):
            if what == HALVE:
                return nn.max_pool(y, (3, 3), (2, 2))
            if what == POOL and self.pool == "maximum":
                return nn.max_pool(y, (3, 3), padding="SAME")
            if what == POOL:
                return nn.avg_pool(y, (3, 3), padding="SAME", count_include_pad=self.count_padding)
            if isinstance(what, Conv):
                return ConvNorm(what, self.kernel_init, name=what.name, **types)(y, train)
            return jnp.concatenate([step(y, end) for end in what], axis=-1)

        ends = []
        for branch in self.branches:
            y = x
            for what in branch:
                y = step(y, what)
            ends.append(y)
        return jnp.concatenate(ends, axis=-1)


class Auxiliary(nn.Module):
    """The auxiliary classifier on the 17x17 grid (section 4), which regularizes training."""

    num_classes: int
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b k"]:
        """Returns logits, float32. The grid is 17x17 or larger."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        x = nn.avg_pool(x, (5, 5), (3, 3))
        x = ConvNorm(Conv("conv0", 128, (1, 1)), name="conv0", **types)(x, train)
        last = Conv("conv1", 768, (5, 5), padding="VALID")
        x = ConvNorm(last, _initial(0.01), name="conv1", **types)(x, train)
        x = x.mean(axis=(1, 2))
        return nn.Dense(
            self.num_classes,
            kernel_init=_initial(0.001),
            dtype=jnp.float32,
            param_dtype=self.param_dtype,
            name="fc",
        )(x)


class InceptionV3(nn.Module):
    """Inception-v3: stem, eleven Inception modules, mean over space, dropout, linear head.

    Stores "stage1" and "stage2" (after the two poolings of the stem, 64 and 192 channels),
    "stage3" (the input of the auxiliary classifier, 768), "stage4" (2048), "features" (b, 2048)
    and, in training with `aux`, "aux_logits" (b, k).

    Attributes:
      num_classes: size of the logits; 1008 in the published weights of the variant "fid".
      variant: "torchvision" or "fid". The published weights of both take images in [-1, 1].
      aux: adds the auxiliary classifier, whose logits are stored as "aux_logits" in training.
        Images are then 299x299 or larger. Only a loss with these logits trains it.
      dropout: rate before the head.
      dtype: type of the computation; the heads are computed in float32.
      param_dtype: type of the params.

    Raises:
      ConfigError: a variant or dtype is unknown, a rate is outside [0, 1), or a size is below 1.
    """

    num_classes: int = 1000
    variant: str = "torchvision"
    aux: bool = False
    dropout: float = 0.5
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_sizes(num_classes=self.num_classes)
        check_choice("variant", self.variant, VARIANTS)
        check_rates(dropout=self.dropout)
        check_dtypes(self.dtype, self.param_dtype)
        super().__post_init__()

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b k"]:
        """Returns logits, float32. Images are 299x299 in the paper.

        Raises:
          ValueError: an image is smaller than 75x75, or than 299x299 for the auxiliary classifier.
        """
        if self._has_auxiliary(train):
            check_image("Inception-v3 with aux=True", image, SMALLEST_AUX)
        check_image("Inception-v3", image, SMALLEST)
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        pooling = VARIANTS[self.variant]
        x = image
        for i, layers in enumerate(STEM, 1):
            for layer in layers:
                x = ConvNorm(layer, name=layer.name, **types)(x, train)
            x = nn.max_pool(x, (3, 3), (2, 2))
            store(self, f"stage{i}", x)
        for name, branches in MODULES.items():
            pool = pooling["last_pool"] if name == "mixed_7c" else "average"
            count = pooling["count_padding"]
            x = Mixed(branches, pool, count, name=name, **types)(x, train)
            if name == "mixed_6e":
                store(self, "stage3", x)
                self._auxiliary(x, train)
        store(self, "stage4", x)
        return pooled_head(self, x, _initial(0.1), train)

    def _has_auxiliary(self, train):
        return self.aux and (train or self.is_initializing())

    def _auxiliary(self, x, train):
        if self._has_auxiliary(train):
            types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
            logits = Auxiliary(self.num_classes, name="auxlogits", **types)(x, train)
            store(self, "aux_logits", logits)


inception_v3 = variant(InceptionV3, "inception_v3")
