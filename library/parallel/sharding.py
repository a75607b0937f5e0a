"""Shardings of all arrays of a state: from path patterns to partition specs."""

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from library import trees
from library.config import ConfigError, check_choice, nearest

Rule = tuple[str, Any]
REPLICATE_OR_FSDP: tuple[Rule, ...] = ((".*", "fsdp"),)
# Rules by family of models. A spec describes a leaf's last dimensions, so that it also holds for
# scanned layers. An axis that does not divide its dimension is left out.
NAMED: dict[str, tuple[Rule, ...]] = {
    # Shoeybi et al. 2019, "Megatron-LM" (arXiv 1909.08053), section 3: heads and hidden units are
    # split over `tensor`, so that devices communicate only for one sum after attention and one
    # after the MLP. Embeddings are split by the vocabulary. Other leaves are split over `fsdp`.
    "transformer": (
        (r"(query|key|value)/kernel$", ("fsdp", "tensor", None)),
        (r"(query|key|value)/bias$", ("tensor", None)),
        (r"attention/out/kernel$", ("tensor", None, "fsdp")),
        (r"(fc1|head)/kernel$", ("fsdp", "tensor")),
        (r"(fc1|head)/bias$", ("tensor",)),
        (r"fc2/kernel$", ("tensor", "fsdp")),
        (r"tokens/embedding$", ("tensor", "fsdp")),
        *REPLICATE_OR_FSDP,
    ),
}


def shardings(tree: PyTree, mesh: Mesh, rules: str | Sequence[Rule] = REPLICATE_OR_FSDP) -> PyTree:
    """Gives every leaf its sharding by the first rule whose pattern its path matches.

    Args:
      tree: arrays or their shapes.
      mesh: the run's mesh.
      rules: pairs (pattern, spec), or the name of rules of this file, "transformer". The pattern
        is searched for in the leaf's path, such as "params/block1/kernel" or
        "opt_state/0/mu/block1/kernel". The spec is a list with one entry for each dimension: an
        axis name, a list of axis names or None. Or it is "fsdp", which splits the largest
        dimension that the fsdp axis divides, or "replicated". Leaves without a rule are
        replicated.

    Raises:
      ConfigError: an unknown name; a pattern that no path matches; a spec that names no axis or
        one twice, has more entries than the leaf has dimensions, or splits a dimension unevenly.
    """
    if isinstance(rules, str):
        check_choice("sharding rules", rules, NAMED)
        return _named(tree, mesh, NAMED[rules])
    compiled = [(_compile(pattern), spec) for pattern, spec in rules]
    paths = trees.paths(tree)
    for pattern, _ in compiled:
        if not any(map(pattern.search, paths)):
            options = nearest(pattern.pattern, paths)
            raise ConfigError(f"sharding rule {pattern.pattern!r} matches no path: {options}")

    def sharding(path: str, leaf: Any) -> NamedSharding:
        spec = next((spec for pattern, spec in compiled if pattern.search(path)), "replicated")
        return NamedSharding(mesh, _partition(path, leaf.shape, spec, mesh))

    return trees.map_with_path(sharding, tree)


def _named(tree: PyTree, mesh: Mesh, rules: Sequence[Rule]) -> PyTree:
    """Gives every leaf its sharding by rules for more than one model."""

    def sharding(path: str, leaf: Any) -> NamedSharding:
        spec = next(spec for pattern, spec in rules if re.search(pattern, path))
        if not isinstance(spec, str):
            before = len(leaf.shape) - len(spec)
            fits = (
                axis if axis and leaf.shape[before + place] % mesh.shape[axis] == 0 else None
                for place, axis in enumerate(spec)
            )
            spec = (None,) * before + tuple(fits) if before >= 0 else "fsdp"
        return NamedSharding(mesh, _partition(path, leaf.shape, spec, mesh))

    return trees.map_with_path(sharding, tree)


def bytes_per_device(tree: PyTree) -> dict[str, int]:
    """Returns the bytes that each addressable device holds of a tree of arrays."""
    held: dict[str, int] = {}
    for leaf in jax.tree.leaves(tree):
        for shard in leaf.addressable_shards:
            held[str(shard.device)] = held.get(str(shard.device), 0) + shard.data.nbytes
    return held


def places(
    layout: NamedSharding, size: int, devices: Iterable[jax.Device] | None = None
) -> np.ndarray:
    """Returns the places along the first dimension that some devices hold, `(n,)`, ascending.

    Args:
      layout: the sharding of arrays whose first dimension is `size`; it splits no other.
      size: a multiple of the number of parts.
      devices: some devices of the layout, by default those of this process.
    """
    parts = layout.devices_indices_map((size,))
    held = np.zeros(size, bool)
    for device in layout.addressable_devices if devices is None else devices:
        held[parts[device]] = True
    return np.flatnonzero(held)


def _compile(pattern: str) -> re.Pattern:
    try:
        return re.compile(pattern)
    except (re.error, TypeError) as error:
        raise ConfigError(f"sharding rule {pattern!r} is not a pattern: {error}") from None


def _partition(path: str, shape: tuple[int, ...], spec: Any, mesh: Mesh) -> PartitionSpec:
    if isinstance(spec, str):
        check_choice("sharding", spec, ("fsdp", "replicated"))
        size = mesh.shape["fsdp"]
        dimensions = [d for d, n in enumerate(shape) if n % size == 0 and n >= size]
        if spec == "replicated" or size == 1 or not dimensions:
            return PartitionSpec()
        widest = max(dimensions, key=lambda d: (shape[d], d))
        return PartitionSpec(*(None,) * widest, "fsdp")
    if not isinstance(spec, (list, tuple)):
        raise ConfigError(
            f"sharding {spec!r} of {path} is not 'fsdp', 'replicated' or a list of axes"
        )
    if len(spec) > len(shape):
        raise ConfigError(f"sharding {spec} of {path}: the array has only {len(shape)} dimensions")
    entries = [() if a is None else (a,) if isinstance(a, str) else tuple(a) for a in spec]
    for names, length in zip(entries, shape):
        for name in names:
            check_choice("mesh axis", name, mesh.axis_names)
            if sum(entries, ()).count(name) > 1:
                raise ConfigError(f"sharding {spec} of {path}: {name!r} splits two dimensions")
        parts = math.prod(mesh.shape[name] for name in names)
        if length % parts:
            raise ConfigError(f"sharding {spec} of {path}: {length} does not divide by {parts}")
    return PartitionSpec(*(names or None for names in entries))
