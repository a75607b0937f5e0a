"""How near an image is to the true one: PSNR and SSIM.

Images are (b, h, w, c) in [0, 1]. `inside` (b, h, w) marks the pixels that count: those of the
image itself where it is padded, without a margin.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from library.config import ConfigError

# Wang et al. 2004, section III.C: the side and deviation of the window, and the constants.
SIDE, _DEVIATION = 11, 1.5
_C1, _C2 = 0.01**2, 0.03**2
# An image without error has this error, so that its PSNR, 120 dB, is finite.
_LEAST = 1e-12


def quantized(image: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """Rounds images in [0, 1] to 8 bits, as a file holds them."""
    return jnp.round(jnp.clip(image, 0, 1) * 255) / 255


def region(shape: tuple[int, int], size: Int[Array, "b 2"], margin: int) -> Bool[Array, "b h w"]:
    """Marks the pixels of images at the upper left of a canvas that are not in their margin.

    Args:
      shape: height and width of the canvas.
      size: height and width of each image.
      margin: pixels at each border that do not count.
    """
    y, x = jnp.arange(shape[0])[None, :, None], jnp.arange(shape[1])[None, None, :]
    height, width = size[:, 0, None, None], size[:, 1, None, None]
    rows = (y >= margin) & (y < height - margin)
    return rows & (x >= margin) & (x < width - margin)


def mean_inside(
    values: Float[Array, "b h w c"], inside: Bool[Array, "b h w"]
) -> Float[Array, " b"]:
    """Returns each image's mean over the pixels that count and the channels; nan without pixels."""
    held = jnp.where(inside[..., None], values, 0)
    count = jnp.sum(inside, axis=(1, 2)) * values.shape[-1]
    return jnp.sum(held, axis=(1, 2, 3)) / count


def psnr(
    image: Float[Array, "b h w c"], true: Float[Array, "b h w c"], inside: Bool[Array, "b h w"]
) -> Float[Array, " b"]:
    """Returns the peak signal-to-noise ratio of each image in dB, for a peak of 1; at most 120."""
    error = mean_inside(jnp.square(image - true), inside)
    return -10 * jnp.log10(jnp.maximum(error, _LEAST))


def ssim(
    image: Float[Array, "b h w c"], true: Float[Array, "b h w c"], inside: Bool[Array, "b h w"]
) -> Float[Array, " b"]:
    """Returns the structural similarity of each image, averaged over pixels and channels.

    Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity":
    Gaussian windows of 11x11 and deviation 1.5. Only windows whose pixels all count are averaged,
    as in the authors' program.

    Raises:
      ConfigError: the images are smaller than a window.
    """
    if min(image.shape[1:3]) < SIDE:
        height, width = image.shape[1:3]
        raise ConfigError(
            f"SSIM needs images of {SIDE}x{SIDE} or larger, not {height}x{width}; nearest: "
            f"{max(height, SIDE)}x{max(width, SIDE)}"
        )
    return mean_inside(similarity_map(image, true), _whole_windows(inside))


def similarity_map(
    image: Float[Array, "b h w c"], true: Float[Array, "b h w c"]
) -> Float[Array, "b h-10 w-10 c"]:
    """Returns the structural similarity of each window of 11x11, see `ssim`."""
    # Differences of large means of squares would lose digits; the windows' means do not matter.
    centre = jnp.mean(true, axis=(1, 2), keepdims=True)
    a, b = image - centre, true - centre
    mean_a, mean_b = gaussian_means(a), gaussian_means(b)
    variance = gaussian_means(a * a) - mean_a**2, gaussian_means(b * b) - mean_b**2
    covariance = gaussian_means(a * b) - mean_a * mean_b
    mean_a, mean_b = mean_a + centre, mean_b + centre
    light = (2 * mean_a * mean_b + _C1) / (mean_a**2 + mean_b**2 + _C1)
    structure = (2 * covariance + _C2) / (variance[0] + variance[1] + _C2)
    return light * structure


def gaussian_means(x: Float[Array, "b h w c"]) -> Float[Array, "b h-10 w-10 c"]:
    """Returns the mean of each window of 11x11 by the Gaussian of `ssim`."""
    place = np.arange(SIDE) - SIDE // 2
    window = np.exp(-(place**2) / (2 * _DEVIATION**2))
    window /= window.sum()
    for axis in (1, 2):
        length = x.shape[axis] - SIDE + 1
        parts = (jax.lax.slice_in_dim(x, i, i + length, axis=axis) for i in range(SIDE))
        x = sum(float(share) * part for share, part in zip(window, parts))
    return x


def _whole_windows(inside: Bool[Array, "b h w"]) -> Bool[Array, "b h2 w2"]:
    sides, steps = (1, SIDE, SIDE), (1, 1, 1)
    return jax.lax.reduce_window(inside, True, jax.lax.bitwise_and, sides, steps, "VALID")
