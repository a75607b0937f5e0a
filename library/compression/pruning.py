"""Magnitude pruning: sets the smallest weights to zero and keeps them there.

Han, Pool, Tran & Dally 2015, "Learning both weights and connections for efficient neural networks"
(arXiv 1506.02626): train, prune, then train the remaining weights. Zhu & Gupta 2017, "To prune, or
not to prune" (arXiv 1710.01878): prune step by step during training, fast at first and slowly at
the end.

A mask is False where a weight is pruned. Only kernels are pruned, not biases, normalization,
position embeddings or class tokens.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array, Bool, Float, PyTree

from library.compression.kernels import chosen
from library.config import ConfigError, check_choice

SCOPES = ("global", "layer")


def prunable(params: PyTree, kept: Sequence[str] = ()) -> list[str]:
    """Returns the paths of prunable leaves: named "kernel", with two dimensions or more.

    Args:
      params: params of a network.
      kept: patterns of kernels that are not pruned.

    Raises:
      ConfigError: see `chosen`.
    """
    leaves = flatten_dict(params, sep="/")
    kernels = [p for p in leaves if p.rpartition("/")[2] == "kernel" and leaves[p].ndim > 1]
    return chosen(sorted(kernels), kept)


def initial_masks(params: PyTree, kept: Sequence[str] = ()) -> PyTree:
    """Returns masks of the prunable kernels that prune nothing, in the tree of the params."""
    leaves = flatten_dict(params, sep="/")
    return unflatten_dict(
        {path: jnp.ones(leaves[path].shape, bool) for path in prunable(params, kept)}, sep="/"
    )


def counts(masks: PyTree, sparsity: float, scope: str = "global") -> dict[str, int]:
    """Returns how many weights a sparsity prunes, rounded, by path of the kernel.

    With the scope "global" the only entry is "", for all kernels together.

    Raises:
      ConfigError: the scope is unknown, or the sparsity is outside [0, 1).
    """
    check_choice("scope", scope, SCOPES)
    if not 0 <= sparsity < 1:
        raise ConfigError(f"sparsity={sparsity}: valid are 0 to below 1, the share of zeros")
    sizes = {path: math.prod(mask.shape) for path, mask in flatten_dict(masks, sep="/").items()}
    groups = {"": sum(sizes.values())} if scope == "global" else sizes
    return {name: round(sparsity * size) for name, size in groups.items()}


def prune_smallest(params: PyTree, masks: PyTree, count: Mapping[str, int | Array]) -> PyTree:
    """Returns masks that prune as many weights as `count` says, the smallest by magnitude.

    Pruned weights stay pruned and are part of the count. If more weights are pruned already,
    nothing changes.

    Args:
      params: params of the network.
      masks: current masks.
      count: result of `counts`; the numbers may be traced.
    """
    weights, flat = flatten_dict(params, sep="/"), flatten_dict(masks, sep="/")
    groups = {"": sorted(flat)} if "" in count else {path: [path] for path in sorted(flat)}
    new: dict[str, Any] = {}
    for name, paths in groups.items():
        parts = [_magnitude(weights[path], flat[path]) for path in paths]
        gone = smallest(jnp.concatenate(parts), count[name])
        ends = np.cumsum([part.size for part in parts])[:-1]
        for path, part in zip(paths, jnp.split(gone, ends)):
            new[path] = flat[path] & ~part.reshape(flat[path].shape)
    return unflatten_dict(new, sep="/")


def smallest(magnitude: Float[Array, " n"], count: int | Array) -> Bool[Array, " n"]:
    """Marks exactly the `count` smallest numbers. Among equal numbers it marks the first."""
    last = jnp.sort(magnitude)[jnp.maximum(count - 1, 0)]
    threshold = jnp.where(count > 0, last, -jnp.inf)
    below, equal = magnitude < threshold, magnitude == threshold
    room = count - jnp.sum(below)
    return below | (equal & (jnp.cumsum(equal) <= room))


def masked(params: PyTree, masks: PyTree) -> PyTree:
    """Returns the params with the pruned weights set to zero."""
    flat = flatten_dict(masks, sep="/")
    weights = flatten_dict(params, sep="/")
    held = {path: jnp.where(mask, weights[path], 0) for path, mask in flat.items()}
    return unflatten_dict({**weights, **held}, sep="/")


def sparsity_of(masks: PyTree) -> Float[Array, ""]:
    """Returns the pruned share of the prunable weights."""
    leaves = flatten_dict(masks, sep="/").values()
    gone = sum(jnp.sum(~mask) for mask in leaves)
    return gone.astype(jnp.float32) / sum(mask.size for mask in leaves)


def one_shot(
    params: PyTree, sparsity: float, *, scope: str = "global", kept: Sequence[str] = ()
) -> PyTree:
    """Returns the params with the share `sparsity` of the prunable weights set to zero.

    Args:
      params: params of a network.
      sparsity: from 0 to below 1.
      scope: "global" prunes the smallest weights of all kernels, "layer" those of each kernel.
      kept: patterns of kernels that are not pruned.

    Raises:
      ConfigError: the sparsity is out of range, the scope is unknown, or see `chosen`.
    """
    masks = initial_masks(params, kept)
    return masked(params, prune_smallest(params, masks, counts(masks, sparsity, scope)))


def cubic(initial: float, final: float, pieces: int) -> list[float]:
    """Returns s_i = s_f + (s_0 - s_f) (1 - i / n)^3, i = 0 .. n (Zhu & Gupta 2017, equation 1).

    Args:
      initial: s_0, the initial sparsity.
      final: s_f, the final sparsity.
      pieces: n, the number of pruning steps after the initial one.
    """
    return [final + (initial - final) * (1 - i / pieces) ** 3 for i in range(pieces + 1)]


def _magnitude(weight: Float[Array, "..."], mask: Bool[Array, "..."]) -> Float[Array, " n"]:
    # -1 is below every magnitude, so pruned weights come before weights that are zero.
    return jnp.where(mask, jnp.abs(weight).astype(jnp.float32), -1.0).reshape(-1)
