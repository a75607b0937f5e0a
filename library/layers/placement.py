"""Placement of activations on a mesh.

Layers name the dimensions of their activations, and a run chooses the axes that split them. If the
run chooses none, the compiler places the activations.
"""

import contextlib
import math
from collections.abc import Iterator, Mapping
from contextvars import ContextVar

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float

from library.config import ConfigError, check_choice

# Dimensions that layers name, besides the batch, which is split as the examples are.
NAMES = ("sequence", "width")
_PLACES: ContextVar[tuple[Mesh, Mapping[str, tuple[str, ...]]] | None] = ContextVar(
    "places", default=None
)


@contextlib.contextmanager
def activations(mesh: Mesh, axes: Mapping[str, str]) -> Iterator[None]:
    """Splits the activations of functions that are traced in this context, where `constrain` says.

    Splitting "sequence" over the axis of a Megatron split is the sequence parallelism of
    Korthikanti et al. 2022, "Reducing activation recomputation in large Transformer models"
    (arXiv 2205.05198), section 4.2.2. It also splits norms, dropout and the sums around them.

    Args:
      mesh: mesh of the run, with the axes (data, fsdp, tensor).
      axes: for each split dimension, "sequence" or "width", the axis that splits it.

    Raises:
      ConfigError: a dimension or axis is unknown, or one axis splits two dimensions.
    """
    for name, axis in axes.items():
        check_choice("activations, dimension", name, NAMES)
        check_choice(f"activations, axis of {name}", axis, ("tensor",))
    if len(set(axes.values())) < len(axes):
        raise ConfigError(f"activations {dict(axes)}: one axis cannot split two dimensions")
    places = {"batch": ("data", "fsdp"), **{name: (axis,) for name, axis in axes.items()}}
    token = _PLACES.set((mesh, places))
    try:
        yield
    finally:
        _PLACES.reset(token)


def constrain(x: Float[Array, "*s"], *names: str) -> Float[Array, "*s"]:
    """Constrains the placement of an array to what the run chose for its dimensions.

    Args:
      x: the array. A batch that the devices cannot divide evenly is not split.
      *names: name of each dimension, "batch" or one of NAMES.

    Raises:
      ConfigError: a dimension is not a multiple of the number of devices that split it.
    """
    placed = _PLACES.get()
    if placed is None:
        return x
    mesh, places = placed
    entries: list[tuple[str, ...] | None] = []
    for name, length in zip(names, x.shape, strict=True):
        axes = places.get(name)
        parts = math.prod(mesh.shape[axis] for axis in axes or ())
        if axes and length % parts and name != "batch":
            raise ConfigError(
                f"activations: a {name} of {length} cannot be split over {parts} devices of "
                f"{' and '.join(axes)}; nearest: {max(length // parts, 1) * parts}"
            )
        entries.append(axes if axes and length % parts == 0 else None)
    return jax.lax.with_sharding_constraint(x, NamedSharding(mesh, PartitionSpec(*entries)))
