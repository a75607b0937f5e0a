"""Where activations lie on a mesh: layers name their dimensions, a run says which axis splits them.

Without a word of the run they lie where the compiler puts them.
"""

import contextlib
import math
from collections.abc import Iterator, Mapping
from contextvars import ContextVar

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float

from library.config import ConfigError, check_choice

# Dimensions that layers name, beside the batch, which lies as the examples do.
NAMES = ("sequence", "width")
_PLACES: ContextVar[tuple[Mesh, Mapping[str, tuple[str, ...]]] | None] = ContextVar(
    "places", default=None
)


@contextlib.contextmanager
def activations(mesh: Mesh, axes: Mapping[str, str]) -> Iterator[None]:
    """Splits what is traced within, wherever `constrain` names a dimension.

    Splitting "sequence" over the axis of a Megatron split is the sequence parallelism of
    Korthikanti et al. 2022, "Reducing activation recomputation in large Transformer models"
    (arXiv 2205.05198), section 4.2.2: norms, dropout and the sums around them are divided, too.

    Args:
      mesh: of the run, its axes (data, fsdp, tensor).
      axes: by dimension, "sequence" or "width", the axis that splits it.

    Raises:
      ConfigError: an unknown dimension or axis, or two dimensions by one axis.
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
    """Places an array as the run says of its dimensions.

    Args:
      x: the array, in which a batch that its axes do not divide is left to the compiler.
      names: of its dimensions, "batch" or one of NAMES.

    Raises:
      ConfigError: the axis does not divide the dimension.
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
