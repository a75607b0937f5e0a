"""Trees of arrays by path: the paths of leaves, maps over paths and leaves, a digest of all bits.

A path joins the keys from the root to a leaf with "/", as in "params/block1/conv/kernel". A key is
a dict key, an attribute of a dataclass or named tuple, or a position in a sequence.
"""

import difflib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import PyTree


def join(keys: Sequence[Any]) -> str:
    """Renders one of JAX's key paths as "a/b/0"."""
    return jax.tree_util.keystr(tuple(keys), simple=True, separator="/")


def paths(tree: PyTree) -> list[str]:
    """Lists the paths of the leaves, in the order of `jax.tree.leaves`."""
    return [join(keys) for keys, _ in jax.tree_util.tree_leaves_with_path(tree)]


def map_with_path(f: Callable[..., Any], tree: PyTree, *rest: PyTree) -> PyTree:
    """Maps `f(path, leaf, *leaves of rest)` over a tree, as `jax.tree.map` does."""
    return jax.tree_util.tree_map_with_path(lambda keys, *x: f(join(keys), *x), tree, *rest)


def add(a: PyTree, b: PyTree) -> PyTree:
    """Adds two trees of the same structure, leaf by leaf."""
    return jax.tree.map(lambda x, y: x + y, a, b)


def flatten(tree: PyTree) -> dict[str, Any]:
    """Returns the leaves of a tree by path."""
    return {join(keys): leaf for keys, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def nearest(pattern: str, among: Sequence[str], most: int = 3) -> str:
    """Renders the paths that are most like a pattern that matches none, nearest first.

    A path is as near as its most similar part: 'heads' is near to "encoder/head/kernel".
    """

    def near(path: str) -> float:
        parts = (path, *path.split("/"))
        return max(difflib.SequenceMatcher(None, pattern, part).ratio() for part in parts)

    # The sort is stable, so that equally near paths keep their order.
    found = sorted(among, key=near, reverse=True)[:most]
    if not found:
        return "there are none"
    return f"nearest of {len(among):,} are {', '.join(map(repr, found))}"


def parts(tree: PyTree, size: int) -> Iterator[PyTree]:
    """Yields a tree of arrays (n, ...) in parts (size, ...), for a function that is compiled once.

    Copies of the last example fill up the last part.
    """
    count = len(jax.tree.leaves(tree)[0])
    for start in range(0, count, size):
        places = np.minimum(np.arange(start, start + size), count - 1)
        yield jax.tree.map(lambda x, places=places: x[places], tree)


def digest(tree: PyTree) -> str:
    """Returns the sha256, in hex, of every leaf's path, dtype, shape and bytes, sorted by path.

    Equal digests mean equal bits: 0.0 and -0.0 differ. The layout of arrays over devices does not
    matter. Leaves come to the host one at a time. If an array is spread over several processes,
    every process has to call this function.
    """
    leaves = [(join(keys), leaf) for keys, leaf in jax.tree_util.tree_leaves_with_path(tree)]
    state = hashlib.sha256()
    for path, leaf in sorted(leaves, key=lambda item: item[0]):
        # A typed random key has no bytes of its own; its dtype names the generator.
        dtype = getattr(leaf, "dtype", None)
        is_key = dtype is not None and jax.dtypes.issubdtype(dtype, jax.dtypes.prng_key)
        array = _on_host(jax.random.key_data(leaf) if is_key else leaf)
        header = f"{path}\0{dtype if is_key else array.dtype}\0{array.shape}\0"
        state.update(header.encode())
        state.update(array.tobytes())
    return state.hexdigest()


def _on_host(leaf: Any) -> np.ndarray:
    spread = isinstance(leaf, jax.Array) and not (
        leaf.is_fully_addressable or leaf.is_fully_replicated
    )
    if spread:
        return np.asarray(multihost_utils.process_allgather(leaf, tiled=True))
    return np.asarray(jax.device_get(leaf))
