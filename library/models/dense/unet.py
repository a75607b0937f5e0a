"""U-Net: segmentation by a contracting and an expanding path (Ronneberger et al. 2015).

"U-Net: Convolutional Networks for Biomedical Image Segmentation", arXiv 1505.04597, figure 1. The
contracting path has pairs of 3x3 convolutions with 2x2 max pooling between them. The expanding path
has 2x2 up-convolutions, and concatenates the result of each with the contracting features of the
same size. With the defaults, one channel and two classes, it has 31,030,658 params.

The paper's convolutions are not padded: 572x572 pixels give 388x388, with `padding="valid"`. To
segment the borders, the paper extends the image by its mirror image (section 3, figure 2).
`padding="mirror"` does this for images of any size. `padding="same"`, the default, pads each
convolution with zeros, as most later U-Nets do. With five widths, it takes sides that are multiples
of 16. The params are the same in all three. Images that are too large for the memory are segmented
in tiles, the paper's overlap-tile strategy: see library/tiling.py.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from library.config import ConfigError, check_choice
from library.layers.checks import check_dtypes, check_rates, check_sizes, nearest_multiples
from library.layers.intermediates import store
from library.layers.normalization import NORMS, norm
from library.variants import variant

PADDINGS = ("same", "mirror", "valid")

_he_normal = nn.initializers.variance_scaling(2.0, "fan_in", "normal")


class UNet(nn.Module):
    """U-Net: images (b, h, w, c) -> logits (b, h, w, num_classes), fewer pixels with "valid".

    Submodules are "down1_conv1", ..., "bottom_conv1", ..., "up1", "join1_conv1", ..., and "head".
    Level 1 has the full size. Stores "features" (b, width), the means over space at the bottom.

    Attributes:
      num_classes: number of classes of a pixel.
      widths: channels of each level, from full size down to the bottom.
      padding: "same", or "mirror" or "valid" as in the paper; see the docstring of this file.
      normalization: normalization after each convolution: "none" as in the paper, "batch", "group".
      dropout: rate at the end of the contracting path (section 3.1). The paper states no rate; its
        authors use 0.5.
      dtype: type of the computation.
      param_dtype: type of the params.

    Raises:
      ConfigError: there are fewer than two widths, or a value is out of range.
    """

    num_classes: int = 2
    widths: tuple[int, ...] = (64, 128, 256, 512, 1024)
    padding: str = "same"
    normalization: str = "none"
    dropout: float = 0.5
    dtype: str = "float32"
    param_dtype: str = "float32"

    def __post_init__(self):
        check_dtypes(self.dtype, self.param_dtype)
        check_rates(dropout=self.dropout)
        check_sizes(num_classes=self.num_classes, widths=self.widths)
        check_choice("padding", self.padding, PADDINGS)
        check_choice("normalization", self.normalization, ("none", *NORMS))
        if len(self.widths) < 2:
            raise ConfigError(
                f"widths={self.widths}: a U-Net has two widths or more, to pool at least once"
            )
        super().__post_init__()

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w c"], train: bool = False
    ) -> Float[Array, "b _ _ {self.num_classes}"]:
        """Returns the logits of each pixel, float32; with "valid", of those that see all they need.

        Raises:
          ValueError: with "same" or "valid", a side cannot be halved as often as the network pools.
        """
        height, width = image.shape[1:3]
        levels = len(self.widths) - 1
        _check_sides(self.padding, height, width, len(self.widths))
        x = _mirrored(image, len(self.widths)) if self.padding == "mirror" else image
        x, kept = x.astype(self.dtype), []
        for level, features in enumerate(self.widths[:-1], 1):
            x = self._block(x, features, f"down{level}", train)
            if level == levels:
                x = nn.Dropout(self.dropout, deterministic=not train, name="dropout_down")(x)
            kept.append(x)
            x = nn.max_pool(x, (2, 2), (2, 2))
        x = self._block(x, self.widths[-1], "bottom", train)
        x = nn.Dropout(self.dropout, deterministic=not train, name="dropout_bottom")(x)
        store(self, "features", jnp.mean(x, axis=(1, 2)))
        for level in range(levels, 0, -1):
            x = self._enlarged(x, self.widths[level - 1], f"up{level}")
            x = jnp.concatenate([_center(kept[level - 1], x.shape[1:3]), x], axis=-1)
            x = self._block(x, self.widths[level - 1], f"join{level}", train)
        logits = self._conv(x, self.num_classes, 1, "head", bias=True)
        # The mirror image begins where the first logit belongs to the first pixel.
        return logits[:, :height, :width].astype(jnp.float32)

    def _block(self, x: Array, features: int, name: str, train: bool) -> Array:
        for number in (1, 2):
            own = f"{name}_conv{number}"
            x = self._conv(x, features, 3, own, bias=self.normalization == "none")
            if self.normalization != "none":
                types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
                x = norm(x, self.normalization, name=f"{own}_norm", train=train, **types)
            x = nn.relu(x)
        return x

    def _conv(self, x: Array, features: int, size: int, name: str, *, bias: bool) -> Array:
        return nn.Conv(
            features,
            (size, size),
            padding="SAME" if self.padding == "same" else "VALID",
            use_bias=bias,
            kernel_init=_he_normal,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            name=name,
        )(x)

    def _enlarged(self, x: Array, features: int, name: str) -> Array:
        return nn.ConvTranspose(
            features,
            (2, 2),
            (2, 2),
            kernel_init=_he_normal,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            name=name,
        )(x)


unet = variant(UNet, "unet")


def _margin(widths: int) -> int:
    """Returns how many pixels on each side a U-Net of some widths sees without a logit for them."""
    return (_needed(1, widths) - _shown(1, widths)) // 2


def _check_sides(padding: str, height: int, width: int, widths: int) -> None:
    unit = 2 ** (widths - 1)
    if padding == "same" and (height % unit or width % unit):
        raise ValueError(
            f"a U-Net of {widths} widths takes images whose sides are multiples of {unit}, not "
            f"{height}x{width}; nearest: {nearest_multiples(height, width, unit)}; "
            "padding='mirror' takes any size"
        )
    bottoms = [max(round((side - _needed(0, widths)) / unit), 1) for side in (height, width)]
    if padding == "valid" and [_needed(bottom, widths) for bottom in bottoms] != [height, width]:
        nearest = "x".join(str(_needed(bottom, widths)) for bottom in bottoms)
        raise ValueError(
            f"a U-Net of {widths} widths without padding cannot halve {height}x{width}; nearest: "
            f"{nearest}; padding='mirror' takes any size"
        )


def _needed(bottom: int, widths: int) -> int:
    """Returns the pixels of an image that leave so many at the end of the bottom.

    Each pair of convolutions without padding removes 4, and each pooling halves their number.
    """
    side = bottom + 4
    for _ in range(widths - 1):
        side = 2 * side + 4
    return side


def _shown(bottom: int, widths: int) -> int:
    """Returns the pixels of the logits from those at the end of the bottom."""
    side = bottom
    for _ in range(widths - 1):
        side = 2 * side - 4
    return side


def _mirrored(image: Float[Array, "b h w c"], widths: int) -> Float[Array, "b h2 w2 c"]:
    """Extends an image by its mirror image, so that the logits cover the whole image."""
    pads = [_margins(side, widths) for side in image.shape[1:3]]
    return jnp.pad(image, ((0, 0), *pads, (0, 0)), mode="reflect")


def _margins(side: int, widths: int) -> tuple[int, int]:
    """Returns the pixels to add before and after an axis, for convolutions without padding.

    The margin before is the same for images of any size, so that poolings join the same pixels. The
    bottom gets the fewest pixels that give `side` or more at the end.
    """
    bottom = 1
    while _shown(bottom, widths) < side:
        bottom += 1
    before = _margin(widths)
    return before, _needed(bottom, widths) - side - before


def _center(x: Float[Array, "b h w c"], size: tuple[int, int]) -> Float[Array, "b h2 w2 c"]:
    top, left = ((have - want) // 2 for have, want in zip(x.shape[1:3], size))
    return x[:, top : top + size[0], left : left + size[1]]
