"""Local response normalization: divides each channel by the strength of its neighbours."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def local_response_norm(
    x: Float[Array, "*batch c"],
    *,
    window: int = 5,
    k: float = 2.0,
    alpha: float = 1e-4,
    beta: float = 0.75,
) -> Float[Array, "*batch c"]:
    """Returns x / (k + alpha * s) ** beta, where s is the sum of squares over `window` channels.

    This is the formula of Krizhevsky, Sutskever & Hinton 2012, section 3.3, with their constants.
    Caffe and PyTorch divide alpha by the window; pass `alpha / window` to get their result. The
    window is centred. An even window reaches one channel further down, as in PyTorch. Channels
    before the first and after the last count as zero. Sums and powers are computed in float32.
    """
    before, after = window // 2, (window - 1) // 2
    wide = x.astype(jnp.float32)
    squares = jnp.pad(jnp.square(wide), [(0, 0)] * (x.ndim - 1) + [(before, after)])
    channels = x.shape[-1]
    # Shifted sums fuse into one elementwise kernel; a window along the last axis would not.
    total = sum(squares[..., i : i + channels] for i in range(window))
    return (wide * (k + alpha * total) ** -beta).astype(x.dtype)
