"""Channel shuffle: mixes the channels between the groups of grouped convolutions."""

from jaxtyping import Array, Float


def channel_shuffle(x: Float[Array, "b h w c"], groups: int) -> Float[Array, "b h w c"]:
    """Interleaves the channels of `groups` equal groups.

    Zhang, Zhou, Lin & Sun 2018 (arXiv 1707.01083), section 3.1: channels (groups, n) are transposed
    to (n, groups), so that the first channels of all groups come first.
    """
    b, h, w, c = x.shape
    return x.reshape(b, h, w, groups, c // groups).swapaxes(3, 4).reshape(b, h, w, c)
