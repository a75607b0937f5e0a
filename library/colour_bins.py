"""Bins of colour: the plane of a and b of CIE Lab in squares of 10, for colourization.

Zhang, Isola & Efros 2016, "Colorful Image Colorization" (arXiv 1603.08511), section 2. There are
313 bins: the corners of all squares that the convex hull of the colours of sRGB touches. The colour
of every pixel lies between four bins.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from scipy.spatial import ConvexHull

from library import colour_spaces

STEP = 10
# Section 2.2: the five nearest bins, weighted by a Gaussian of 5.
NEAREST, DEVIATION = 5, 5.0
# Section 2.3: the annealed mean.
TEMPERATURE = 0.38


@functools.cache
def bins() -> Float[np.ndarray, "313 2"]:
    """Returns the values of a and b of each bin, by a and then by b."""
    surface = _surface()
    first = surface[ConvexHull(surface).vertices]
    second, squares = np.roll(first, -1, axis=0), []
    for row in range(-12, 12):
        # The part of a convex polygon between two lines reaches from a lowest to a highest point.
        ends = (STEP * row, STEP * (row + 1))
        inside = first[(first[:, 0] >= ends[0]) & (first[:, 0] <= ends[1]), 1]
        reached = [inside, *(_crossings(first, second, end) for end in ends)]
        b = np.concatenate(reached)
        if len(b):
            low, high = (int(np.floor(x / STEP)) for x in (b.min(), b.max()))
            squares += [(row, column) for column in range(low, high + 1)]
    corners = [np.array(squares) + corner for corner in ((0, 0), (0, 1), (1, 0), (1, 1))]
    found = np.unique(np.concatenate(corners), axis=0) * STEP
    return found.astype(np.float32)


def nearest(ab: Float[np.ndarray, "n 2"]) -> Int[np.ndarray, " n"]:
    """Returns the bin nearest to each colour of sRGB."""
    rounded = np.round(np.asarray(ab) / STEP).astype(int) + 20
    return _table()[tuple(np.clip(rounded, 0, 40).T)]


def encoded(ab: Float[Array, "*s 2"]) -> tuple[Int[Array, "*s 5"], Float[Array, "*s 5"]]:
    """Returns the five nearest bins of each colour, the nearest first, and their shares."""
    centres = jnp.asarray(bins())
    distance = jnp.sum(jnp.square(ab[..., None, :] - centres), axis=-1)
    least, place = jax.lax.top_k(-distance, NEAREST)
    return place, jax.nn.softmax(least / (2 * DEVIATION**2), axis=-1)


def decoded(
    logits: Float[Array, "*s 313"], temperature: float = TEMPERATURE
) -> Float[Array, "*s 2"]:
    """Returns the annealed mean of a and b: that of the probabilities to the power 1 / T."""
    shares = jax.nn.softmax(logits / temperature, axis=-1)
    return jnp.matmul(shares, jnp.asarray(bins()), precision=jax.lax.Precision.HIGHEST)


def smoothed(counts: Float[np.ndarray, " 313"]) -> Float[np.ndarray, " 313"]:
    """Returns the distribution of colours, smoothed over the bins by the Gaussian of encoding."""
    apart = np.square(bins()[:, None] - bins()[None]).sum(axis=-1)
    near = np.exp(-apart / (2 * DEVIATION**2))
    found = counts @ (near / near.sum(axis=1, keepdims=True))
    return found / found.sum()


def rebalancing(
    distribution: Float[np.ndarray, " 313"], mix: float = 0.5
) -> Float[np.ndarray, " 313"]:
    """Returns the weight of each bin, 1 on average over colours (equation 4).

    Args:
      distribution: the share of each bin in the training images.
      mix: lambda, the share of the uniform distribution.
    """
    weights = 1 / ((1 - mix) * distribution + mix / len(distribution))
    return weights / (distribution @ weights)


@functools.cache
def _table() -> Int[np.ndarray, "41 41"]:
    centres = np.round(bins() / STEP).astype(int)
    table = np.zeros((41, 41), np.int64)
    for row in range(41):
        apart = np.square(
            centres[None] - np.array([[row - 20, c - 20] for c in range(41)])[:, None]
        )
        table[row] = apart.sum(axis=-1).argmin(axis=-1)
    return table


def _crossings(
    first: Float[np.ndarray, "n 2"], second: Float[np.ndarray, "n 2"], a: float
) -> Float[np.ndarray, " m"]:
    """Returns b where the lines from `first` to `second` cross a value of a."""
    crosses = (first[:, 0] - a) * (second[:, 0] - a) < 0
    p, q = first[crosses], second[crosses]
    share = (a - p[:, 0]) / (q[:, 0] - p[:, 0])
    return p[:, 1] + share * (q[:, 1] - p[:, 1])


def _surface() -> Float[np.ndarray, "n 2"]:
    """Returns a and b of colours on the six sides of the cube of sRGB."""
    line = np.linspace(0, 1, 33, dtype=np.float32)
    first, second = (x.ravel() for x in np.meshgrid(line, line))
    sides = []
    for axis in range(3):
        for value in (0, 1):
            others = [first, second]
            others.insert(axis, np.full_like(first, value))
            sides.append(np.stack(others, axis=-1))
    return np.asarray(colour_spaces.to_lab(jnp.asarray(np.concatenate(sides)))[:, 1:], np.float64)
