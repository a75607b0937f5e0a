"""Poolings of PyTorch that Flax lacks: to a given size, and with windows beyond the edge."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float


def adaptive_average_pool(x: Float[Array, "b h w c"], size: int) -> Float[Array, "b s s c"]:
    """Averages to `size` rows and columns. An input of that size is returned unchanged.

    As in PyTorch, row i averages the rows from floor(i h / size) up to, but without,
    ceil((i + 1) h / size). The windows overlap if `size` does not divide h, and rows repeat if h
    is smaller than `size`.
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
    """Takes the maximum over square windows, the last of which may reach beyond the edge.

    So every row and column is in a window. PyTorch calls this `ceil_mode`; Caffe always does it.
    """
    rest = [(0, -(side - size) % stride) for side in x.shape[1:3]]
    return nn.max_pool(x, (size, size), (stride, stride), rest)


def _averages(side: int, size: int) -> np.ndarray:
    matrix = np.zeros((size, side), np.float32)
    for i in range(size):
        start, end = i * side // size, -(-(i + 1) * side // size)
        matrix[i, start:end] = 1 / (end - start)
    return matrix
