"""Poolings that PyTorch has and Flax lacks: to a given size, and with windows past the edge."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float


def adaptive_average_pool(x: Float[Array, "b h w c"], size: int) -> Float[Array, "b s s c"]:
    """Averages to `size` rows and columns, the identity where there are so many already.

    Row i averages those from floor(i h / size) to ceil((i + 1) h / size), as PyTorch has it: the
    windows overlap where `size` does not divide h, and repeat rows where h is smaller.
    """
    if x.shape[1:3] == (size, size):
        return x
    rows, columns = (_averages(side, size) for side in x.shape[1:3])
    highest = lax.Precision.HIGHEST
    wide = x.astype(jnp.float32)
    return jnp.einsum("ih,jw,bhwc->bijc", rows, columns, wide, precision=highest).astype(x.dtype)


def max_pool_to_the_edge(
    x: Float[Array, "b h w c"], size: int, stride: int
) -> Float[Array, "b _ _ c"]:
    """Pools the maximum over squares without padding; the last may reach past the edge.

    No row or column is left out, as one is where the windows must fit: PyTorch's `ceil_mode`, and
    what Caffe always does.
    """
    rest = [(0, -(side - size) % stride) for side in x.shape[1:3]]
    return nn.max_pool(x, (size, size), (stride, stride), rest)


def _averages(side: int, size: int) -> np.ndarray:
    matrix = np.zeros((size, side), np.float32)
    for i in range(size):
        start, end = i * side // size, -(-(i + 1) * side // size)
        matrix[i, start:end] = 1 / (end - start)
    return matrix
