"""Random weights by published name, which are the same here and in another implementation."""

import re
import zlib
from typing import Any

import jax
import numpy as np

from library.weights.mapping import assign, published_as
from library.weights.published import Published

# The convolutions of squeeze-and-excitation, in torchvision and timm.
_GATES = re.compile(r"\.(fc[12]|conv_reduce|conv_expand)\.weight$")
# The gain of gates, by the most gates that a network has. Values grow with the depth, until every
# gate would be open or closed: first in EfficientNet-B5, then in L2.
_GAINS = {70: 1e-2, 120: 1e-6, 10**6: 1e-14}


def variables_of(published: Published, model: Any, size: int) -> dict[str, Any]:
    """Draws the variables of a network from the published names and shapes of its arrays."""
    shapes = published.shapes(model, size)
    names = {name: x.shape for name, x in published_as(zeros(shapes), published.rules).items()}
    return assign(drawn(names), published.rules, shapes, ignored=published.ignored, where="drawn")


def zeros(shapes: Any) -> Any:
    """Returns zero arrays of these shapes, which take no memory."""
    return jax.tree.map(lambda x: np.broadcast_to(np.zeros((), x.dtype), x.shape), shapes)


def drawn(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Draws arrays by PyTorch's names; each array depends on its name and shape, and on the gain.

    Kernels keep the variance through relus. The statistics are far from 0 and 1.
    """
    gates = sum(len(shape) == 4 and bool(_GATES.search(name)) for name, shape in shapes.items())
    gain = next(gain for most, gain in _GAINS.items() if gates <= most)
    return {name: _draw(name, tuple(shape), gain) for name, shape in shapes.items()}


def _draw(name: str, shape: tuple[int, ...], gate: float) -> np.ndarray:
    random = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith("num_batches_tracked"):
        return np.asarray(7)
    if len(shape) > 1:
        # Larger kernels of gates would make deep networks chaotic.
        gain = gate if len(shape) == 4 and _GATES.search(name) else 2
        scale = np.sqrt(gain / np.prod(shape[1:]))
        return (scale * random.standard_normal(shape, np.float32)).astype(np.float32)
    if name.endswith(("weight", "running_var")):
        return random.uniform(0.5, 1.5, shape).astype(np.float32)
    return (0.1 * random.standard_normal(shape)).astype(np.float32)
