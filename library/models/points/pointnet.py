"""PointNet: a network for sets of points, the same for any order of the points.

Qi, Su, Mo & Guibas 2017, "PointNet: Deep learning on point sets for 3D classification and
segmentation" (arXiv 1612.00593), figure 2. Every point passes through the same layers, and the
maximum over the points joins them, so no order of the points can matter. Params with 40 classes and
points of three coordinates:

  vanilla     819,624
  pointnet  3,480,049, with two networks that align the points and their features (T-nets)
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.layers.checks import check_dtypes, check_rates, check_sizes
from library.layers.head import linear_head
from library.layers.intermediates import store
from library.layers.normalization import norm
from library.variants import variant

# Channels of the layers of a T-net: over the points, then of the joined points.
TRANSFORM_WIDTHS = (64, 128, 1024), (512, 256)


class Layer(nn.Module):
    """A dense layer "dense" over the last axis, batch normalization "norm" and relu."""

    width: int
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*b c"], train: bool) -> Float[Array, "*b w"]:
        """Returns features; the statistics are over all axes but the last."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        x = nn.Dense(self.width, name="dense", **types)(x)
        return nn.relu(norm(x, "batch", name="norm", train=train, **types))


class Transform(nn.Module):
    """A T-net (appendix C): a small PointNet that gives the matrix by which points are multiplied.

    The matrix starts as the identity: the last layer, "matrix", starts at zero.
    """

    point_widths: tuple[int, ...]
    joined_widths: tuple[int, ...]
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b n d"], train: bool) -> Float[Array, "b d d"]:
        """Returns a matrix for each set of points."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        size, zeros = x.shape[-1], nn.initializers.zeros
        for i, width in enumerate(self.point_widths, 1):
            x = Layer(width, name=f"point{i}", **types)(x, train)
        x = x.max(axis=1)
        for i, width in enumerate(self.joined_widths, 1):
            x = Layer(width, name=f"joined{i}", **types)(x, train)
        x = nn.Dense(size**2, kernel_init=zeros, name="matrix", **types)(x)
        return x.reshape(-1, size, size) + jnp.eye(size, dtype=x.dtype)


class PointNet(nn.Module):
    """PointNet for classification: layers over the points, their maximum, layers, linear head.

    Submodules are "point1", ..., "joined1", ..., "head" and, with `transforms`,
    "transform_points" and "transform_features". Stores "stage1" (b, n, c), the points' features
    before the second group of layers, "stage2" (b, c), the maximum over the points, "features"
    (b, d) and, in training with `transforms`, "penalty" (b,): ||I - A A^T||^2 of the transform A of
    the features (equation 2), whose weight is 0.001 in the paper.

    Attributes:
      num_classes: size of the logits.
      transforms: whether to align the points and their features by T-nets.
      widths: channels of the first group of layers over the points.
      later_widths: channels of the second group, which comes after the transform of the features.
      joined_widths: channels of the layers after the maximum.
      dropout: rate before the head, 0.3 in the paper.
      dtype: type of the computation; the head is computed in float32.
      param_dtype: type of the params.

    Raises:
      ConfigError: a dtype is unknown, a rate is outside [0, 1), or a size is below 1.
    """

    num_classes: int = 40
    transforms: bool = True
    widths: tuple[int, ...] = (64, 64)
    later_widths: tuple[int, ...] = (64, 128, 1024)
    joined_widths: tuple[int, ...] = (512, 256)
    dropout: float = 0.3
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_sizes(num_classes=self.num_classes, widths=self.widths)
        check_sizes(later_widths=self.later_widths, joined_widths=self.joined_widths)
        check_rates(dropout=self.dropout)
        check_dtypes(self.dtype, self.param_dtype)
        super().__post_init__()

    @nn.compact
    def __call__(self, points: Float[Array, "*set"], train: bool = False) -> Float[Array, "b k"]:
        """Returns logits, float32.

        Raises:
          ValueError: the input is not one set of points an example.
        """
        if points.ndim != 3 or points.shape[1] == 0:
            raise ValueError(f"PointNet takes points (b, n, d), got shape {points.shape}")
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        x = self._aligned(points.astype(self.dtype), "transform_points", train)
        for i, width in enumerate(self.widths, 1):
            x = Layer(width, name=f"point{i}", **types)(x, train)
        x = self._aligned(x, "transform_features", train)
        store(self, "stage1", x)
        for i, width in enumerate(self.later_widths, len(self.widths) + 1):
            x = Layer(width, name=f"point{i}", **types)(x, train)
        x = x.max(axis=1)
        store(self, "stage2", x)
        for i, width in enumerate(self.joined_widths, 1):
            x = Layer(width, name=f"joined{i}", **types)(x, train)
        store(self, "features", x)
        x = nn.Dropout(self.dropout, deterministic=not train, name="dropout")(x)
        init = nn.initializers.lecun_normal()
        return linear_head(x, self.num_classes, kernel_init=init, param_dtype=self.param_dtype)

    def _aligned(self, x, name, train):
        if not self.transforms:
            return x
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        matrix = Transform(*TRANSFORM_WIDTHS, name=name, **types)(x, train)
        if name == "transform_features" and train:
            wide = matrix.astype(jnp.float32)
            product = jnp.einsum("bij,bkj->bik", wide, wide)
            difference = jnp.eye(x.shape[-1]) - product
            store(self, "penalty", jnp.sum(jnp.square(difference), axis=(1, 2)))
        return jnp.einsum("bnd,bde->bne", x, matrix)


pointnet = variant(PointNet, "pointnet")
vanilla = variant(PointNet, "vanilla", transforms=False)
