"""SOLO: instance masks by location. Each cell of a grid has a class and a mask.

Wang, Kong, Shen, Jiang & Li 2020, "SOLO: Segmenting objects by locations" (arXiv 1912.04488),
figure 2: an object belongs to the cell of its centre. One branch gives the classes of the cells,
the other a mask of the whole image for each cell, and sees the coordinates of the pixels. Here both
branches read the features of one small U-Net in place of a feature pyramid.
"""

import math
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.layers.checks import check_dtypes, check_image, check_sizes
from library.layers.intermediates import store
from library.layers.normalization import norm
from library.models.dense.unet import UNet
from library.variants import variant

_he_normal = nn.initializers.he_normal()
# A class of a cell starts with this probability, as most cells have none (section 3.3 of Lin et
# al. 2017, "Focal loss for dense object detection").
PRIOR = 0.01


class SOLO(nn.Module):
    """SOLO: images (b, h, w, c) -> classes (b, s, s, k) and masks (b, h, w, s^2), both logits.

    Submodules are "trunk" (a U-Net), "class1", "class2", "class_head", "mask1", "mask2",
    "mask_head" and the normalizations "class1_norm", ... Stores "features" (b, width), the mean of
    the trunk's features. Map i s + j of the masks belongs to cell (i, j).

    Attributes:
      num_classes: classes of objects.
      grid: s, cells along each side.
      widths: channels of the levels of the trunk.
      width: channels of the trunk's output and of the branches.
      normalization: "batch" or "group", in the trunk and the branches.
      dtype: type of the computation.
      param_dtype: type of the params.

    Raises:
      ConfigError: a dtype is unknown or a size is below 1, or an error of the U-Net.
    """

    num_classes: int = 10
    grid: int = 8
    widths: tuple[int, ...] = (16, 32, 64, 64)
    width: int = 32
    normalization: str = "batch"
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_sizes(num_classes=self.num_classes, grid=self.grid, width=self.width)
        check_dtypes(self.dtype, self.param_dtype)
        super().__post_init__()

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w c"], train: bool = False
    ) -> tuple[Float[Array, "b s s k"], Float[Array, "b h w n"]]:
        """Returns the logits of the classes and of the masks, float32.

        Raises:
          ValueError: the image is smaller than the grid, or does not suit the trunk.
        """
        check_image("SOLO", image, self.grid)
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        options = dict(widths=self.widths, dropout=0.0, normalization=self.normalization, **types)
        x = UNet(num_classes=self.width, name="trunk", **options)(image, train)
        x = nn.relu(x.astype(self.dtype))
        store(self, "features", x.mean(axis=(1, 2)))
        head = partial(nn.Conv, kernel_size=(1, 1), dtype=jnp.float32, param_dtype=self.param_dtype)
        # A cell sees a mean of the pixels up to a cell from its centre, most of the nearest.
        cells = jax.image.resize(
            x, (len(x), self.grid, self.grid, self.width), "linear", antialias=True
        )
        for i in (1, 2):
            cells = self._layer(cells, f"class{i}", train)
        bias = nn.initializers.constant(-math.log((1 - PRIOR) / PRIOR))
        classes = head(self.num_classes, bias_init=bias, name="class_head")(cells)
        x = jnp.concatenate([x, _coordinates(x)], axis=-1)
        for i in (1, 2):
            x = self._layer(x, f"mask{i}", train)
        return classes, head(self.grid**2, name="mask_head")(x)

    def _layer(self, x, name, train):
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        options = dict(use_bias=False, kernel_init=_he_normal, name=name, **types)
        x = nn.Conv(self.width, (3, 3), **options)(x)
        return nn.relu(norm(x, self.normalization, name=f"{name}_norm", train=train, **types))


solo = variant(SOLO, "solo")


def _coordinates(x: Float[Array, "b h w c"]) -> Float[Array, "b h w 2"]:
    """Returns the places of the pixels, -1 to 1 down and to the right."""
    y, x_ = (jnp.linspace(-1, 1, side, dtype=x.dtype) for side in x.shape[1:3])
    places = jnp.stack(jnp.meshgrid(y, x_, indexing="ij"), axis=-1)
    return jnp.broadcast_to(places, (*x.shape[:3], 2))
