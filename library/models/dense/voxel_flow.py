"""Deep voxel flow: the frame between two frames, from pixels that move (Liu et al. 2017).

"Video Frame Synthesis using Deep Voxel Flow", arXiv 1702.02463, section 3 and figure 2: an
encoder and decoder with skip connections computes, for each pixel of the frame between, a motion
and a share. The pixel is a mix of the frame before, where it came from, and of the frame after,
where it goes, each read between pixels by bilinear interpolation. The paper also penalizes the
variation of motion and share, which this network leaves to the data.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.layers.checks import check_dtypes, check_multiples, check_sizes
from library.layers.intermediates import store
from library.layers.normalization import norm
from library.variants import variant

_he_normal = nn.initializers.variance_scaling(2.0, "fan_in", "normal")


class VoxelFlow(nn.Module):
    """Two frames (b, h, w, c) -> the frame between them (b, h, w, c).

    Submodules are "down1", "norm_down1", ..., "bottom", "norm_bottom", "up1", "norm_up1", ... and
    "head". Stores "motion" (b, h, w, 2), in pixels from the frame between to the frame after, down
    and right, and "share" (b, h, w), of the frame after.

    Attributes:
      width: channels of the first layer; the next have twice and four times as many.
      reach: the largest motion from the frame between to either frame, in pixels.
      dtype: type of the computation; the frame is float32.
      param_dtype: type of the params.

    Raises:
      ConfigError: a size is below 1.
    """

    width: int = 64
    reach: int = 16
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_dtypes(self.dtype, self.param_dtype)
        check_sizes(width=self.width, reach=self.reach)
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        before: Float[Array, "b h w c"],
        after: Float[Array, "b h w c"],
        train: bool = False,
    ) -> Float[Array, "b h w c"]:
        """Returns the frame between.

        Raises:
          ValueError: a side of the frames is no multiple of 8.
        """
        check_multiples("voxel flow", before, 8)
        layer = functools.partial(self._layer, train=train)
        x, kept = jnp.concatenate([before, after], axis=-1).astype(self.dtype), []
        for level, (times, side) in enumerate(((1, 5), (2, 5), (4, 3)), 1):
            x = layer(x, times * self.width, side, f"down{level}")
            kept.append(x)
            x = nn.max_pool(x, (2, 2), (2, 2))
        x = layer(x, 4 * self.width, 3, "bottom")
        for level, (times, side) in enumerate(((4, 3), (2, 5), (1, 5)), 1):
            x = jnp.concatenate([x.repeat(2, 1).repeat(2, 2), kept[-level]], axis=-1)
            x = layer(x, times * self.width, side, f"up{level}")
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        # Small first weights: at first the frame is the mean of the two.
        found = nn.Conv(3, (5, 5), kernel_init=nn.initializers.normal(1e-3), name="head", **types)(
            x
        )
        found = jnp.tanh(found.astype(jnp.float32))
        motion, share = self.reach * found[..., :2], (1 + found[..., 2]) / 2
        store(self, "motion", motion)
        store(self, "share", share)
        share = share[..., None]
        return (1 - share) * displaced(before, -motion) + share * displaced(after, motion)

    def _layer(self, x: Array, features: int, side: int, name: str, *, train: bool) -> Array:
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        conv = nn.Conv(
            features, (side, side), use_bias=False, kernel_init=_he_normal, name=name, **types
        )
        return nn.relu(norm(conv(x), "batch", name=f"norm_{name}", train=train, **types))


voxel_flow = variant(VoxelFlow, "voxel_flow")


def displaced(
    image: Float[Array, "b h w c"], motion: Float[Array, "b h w 2"]
) -> Float[Array, "b h w c"]:
    """Returns images read at each pixel plus its motion (down, right), by bilinear interpolation.

    Outside an image its nearest pixel counts.
    """
    height, width = image.shape[1:3]
    y = jnp.clip(jnp.arange(height)[:, None] + motion[..., 0], 0, height - 1)
    x = jnp.clip(jnp.arange(width) + motion[..., 1], 0, width - 1)
    top, left = jnp.floor(y), jnp.floor(x)
    down, right = (y - top)[..., None], (x - left)[..., None]
    rows = [jnp.clip(top + i, 0, height - 1).astype(jnp.int32) for i in (0, 1)]
    columns = [jnp.clip(left + i, 0, width - 1).astype(jnp.int32) for i in (0, 1)]

    def at(row: Array, column: Array) -> Array:
        return jax.vmap(lambda one, r, c: one[r, c])(image, row, column)

    upper = (1 - right) * at(rows[0], columns[0]) + right * at(rows[0], columns[1])
    lower = (1 - right) * at(rows[1], columns[0]) + right * at(rows[1], columns[1])
    return (1 - down) * upper + down * lower
