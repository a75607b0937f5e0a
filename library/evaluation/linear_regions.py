"""The pieces of the plane on which a network of rectifiers is linear, counted and drawn.

Montufar et al. 2014, "On the number of linear regions of deep neural networks", and Hanin & Rolnick
2019, "Complexity of linear regions in deep networks".
"""

from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from library import painting, trees
from library.config import ConfigError
from library.evaluation.context import Context, Evaluator
from library.evaluation.plane import points
from library.task import Batch, Metrics, TrainState

# The kernel (d, k) and the bias (k,) of each hidden layer.
Layers = Sequence[tuple[np.ndarray, np.ndarray]]


def linear_regions(context: Context, *, span: float = 1.0, size: int = 128) -> Evaluator:
    """Counts the activation regions of a network of two inputs in the square [-span, span]^2.

    In a region the same units are on, so the network is linear there. The count is exact: each unit
    cuts the regions of the layers before it by a line.

    Args:
      context: the task, the data and functions to run over it; the model is an `mlp` with
        activation "relu".
      span: end of the square.
      size: side of the picture, in pixels.

    Returns:
      `state -> {"regions", "regions_picture": uint8 (1, size, size, 3)}`, with a colour for each
      region.

    Raises:
      ConfigError: the span or the size is out of range. The function raises it for other params
        than those of an `mlp` of two inputs.
    """
    if not 0 < span < float("inf") or size < 2:
        raise ConfigError(
            f"linear_regions, span={span}, size={size}: valid are a span above 0, sizes from 2"
        )

    def params(state: TrainState, batch: Batch, key: Array) -> Metrics:
        return {path: (x, jnp.ones(())) for path, x in trees.flatten(state.params).items()}

    function = context.measure(params)

    def evaluate(state: TrainState) -> dict[str, float | np.ndarray]:
        # Each device adds the same params to the sum and 1 to the count.
        sums = function(state, next(iter(context.draws(1))))
        layers = layers_of({path: np.asarray(x) / max(n, 1) for path, (x, n) in sums.items()})
        count = len(regions(layers, span))
        return {"regions": float(count), "regions_picture": _drawn(layers, span, size)[None]}

    return evaluate


def layers_of(params: Mapping[str, np.ndarray]) -> Layers:
    """Returns the kernels and biases of the hidden layers of an `mlp` of two inputs, in float64.

    Args:
      params: the params by path, such as "hidden1/kernel".

    Raises:
      ConfigError: the params are others.
    """
    found, number = [], 1
    while f"hidden{number}/kernel" in params:
        kernel, bias = (params[f"hidden{number}/{name}"] for name in ("kernel", "bias"))
        found.append((np.asarray(kernel, np.float64), np.asarray(bias, np.float64)))
        number += 1
    if not found or found[0][0].shape[0] != 2:
        shapes = [kernel.shape for kernel, _ in found]
        raise ConfigError(
            f"linear_regions needs an mlp of two inputs and hidden layers, not {shapes or 'none'}"
        )
    return found


def regions(layers: Layers, span: float) -> list[np.ndarray]:
    """Returns the regions of the square, convex polygons by their corners (n, 2)."""
    corners = span * np.array([(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)])
    # A region, and what the units before the layer compute in it: x @ kernel + bias.
    found = [(corners, np.eye(2), np.zeros(2))]
    for kernel, bias in layers:
        split = []
        for polygon, slope, shift in found:
            slope, shift = slope @ kernel, shift @ kernel + bias
            parts = [polygon]
            for unit in range(len(bias)):
                parts = [p for part in parts for p in _cut(part, slope[:, unit], shift[unit])]
            for part in parts:
                on = part.mean(axis=0) @ slope + shift > 0
                split.append((part, slope * on, shift * on))
        found = split
    return [polygon for polygon, _, _ in found]


def _cut(
    polygon: Float[np.ndarray, "n 2"], slope: Float[np.ndarray, " 2"], shift: float
) -> list[np.ndarray]:
    """Returns the one or two parts of a convex polygon on both sides of a line."""
    values = polygon @ slope + shift
    if values.min() >= 0 or values.max() <= 0:
        return [polygon]
    sides: tuple[list, list] = ([], [])
    for here, there, a, b in zip(
        polygon, np.roll(polygon, -1, axis=0), values, np.roll(values, -1), strict=True
    ):
        for side, sign in zip(sides, (1, -1), strict=True):
            if sign * a >= 0:
                side.append(here)
        if a * b < 0:
            crossing = here + (there - here) * (a / (a - b))
            for side in sides:
                side.append(crossing)
    return [np.array(side) for side in sides]


def patterns(layers: Layers, x: Float[np.ndarray, "n 2"]) -> Int[np.ndarray, " n"]:
    """Returns a number for each point: equal where the same units are on."""
    signs = []
    for kernel, bias in layers:
        x = np.maximum(x @ kernel + bias, 0)
        signs.append(x > 0)
    _, numbers = np.unique(np.concatenate(signs, axis=1), axis=0, return_inverse=True)
    return numbers.reshape(-1)


def _drawn(layers: Layers, span: float, size: int) -> UInt8[np.ndarray, "h w 3"]:
    numbers = patterns(layers, points(span, size).astype(np.float64))
    return painting.colours(numbers.max() + 2)[1:][numbers].reshape(size, size, 3)
