"""Pixel shuffle: channels become pixels, to enlarge feature maps (Shi et al. 2016)."""

from jaxtyping import Array, Float


def pixel_shuffle(x: Float[Array, "b h w c"], factor: int) -> Float[Array, "b h2 w2 c2"]:
    """Enlarges maps (b, h, w, c factor^2) to (b, h factor, w factor, c).

    Channel c factor^2 + i factor + j becomes the pixel at row i and column j of a cell, in channel
    c. This is the order of PyTorch's `PixelShuffle`.
    """
    batch, height, width, channels = x.shape
    out = channels // factor**2
    cells = x.reshape(batch, height, width, out, factor, factor)
    return cells.transpose(0, 1, 4, 2, 5, 3).reshape(batch, height * factor, width * factor, out)
