"""Channel shuffle: lets what grouped convolutions keep apart mix."""

from jaxtyping import Array, Float


def channel_shuffle(x: Float[Array, "b h w c"], groups: int) -> Float[Array, "b h w c"]:
    """Deals the channels of `groups` equal groups out by turns.

    Zhang, Zhou, Lin & Sun 2018 (arXiv 1707.01083), section 3.1: (groups, n) is transposed to
    (n, groups), so that the first of every group come first.
    """
    b, h, w, c = x.shape
    return x.reshape(b, h, w, groups, c // groups).swapaxes(3, 4).reshape(b, h, w, c)
