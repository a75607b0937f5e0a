"""Operations on graphs: `nodes` (n, f), `edges` (m, 2) and what belongs to them."""

import functools

import numpy as np

from library.config import ConfigError, check_choice
from library.data import features
from library.data.preprocessing._examples import Example, Operation, feature, shown
from library.rng import host_generator

_SPLITS = ("train_mask", "val_mask", "test_mask")


def both_directions() -> Operation:
    """Adds the reverse of each edge, after all edges, for data that state an edge once.

    Features that begin with "edge_" or "edges_" are repeated for the reversed edges.

    Raises:
      ValueError: (the operation) an edge is there in both directions already.
    """
    return _both_directions


def normalize_nodes() -> Operation:
    """Divides the features of each node by their sum; a node of zeros stays.

    Words of a document become shares, as in Kipf & Welling 2017, section 5.2.
    """
    return _normalize_nodes


def count_nodes(split: str) -> Operation:
    """Replaces the masks of splits by `node_counted`, float32 (n,): 1 for the nodes of a split.

    Args:
      split: "train_mask", "val_mask" or "test_mask".

    Raises:
      ConfigError: another name. (The operation) raises ValueError if a node of the split has no
        label.
    """
    check_choice("split of count_nodes", split, _SPLITS)
    return features.making(functools.partial(_count_nodes, split=split), node_counted="array")


def hold_out_edges(split: str, val: float = 0.05, test: float = 0.1, seed: int = 0) -> Operation:
    """Takes edges away from a graph, to be predicted from those that stay.

    It adds `pairs` int32 (p, 2) and `pairs_label` (p,): the edges of a split with label 1, and then
    as many pairs without an edge in the whole graph, label 0, each pair once. `edges` are those of
    training in any split, each once: put `both_directions` after it. The split "train" has its own
    edges as pairs.

    Args:
      split: "train", "val" or "test".
      val: share of the edges in "val".
      test: share of the edges in "test".
      seed: seed of the draws. It is not the seed of the run, so that all runs have the same split.

    Raises:
      ConfigError: the split is unknown, or the shares are not above 0 with a sum below 1.
    """
    check_choice("split of hold_out_edges", split, ("train", "val", "test"))
    if min(val, test) <= 0 or val + test >= 1:
        raise ConfigError(
            f"hold_out_edges, val={val}, test={test}: valid are shares above 0 with a sum below 1"
        )
    operation = functools.partial(_hold_out_edges, split=split, val=val, test=test, seed=seed)
    return features.making(operation, pairs="array", pairs_label="array")


def _hold_out_edges(example: Example, rng: np.random.Generator, *, split, val, test, seed):
    edges = np.sort(_checked_edges(example).astype(np.int64), axis=1)
    count, size = len(edges), len(feature(example, "nodes"))
    random = host_generator(seed, "folds", 1)
    order = edges[random.permutation(count)]
    ends = np.cumsum([round(test * count), round(val * count)])
    parts = dict(zip(("test", "val", "train"), np.split(order, ends)))
    if min(map(len, parts.values())) == 0:
        raise ValueError(f"hold_out_edges: {count} edges are too few for three splits")
    # The absent pairs of all splits are different, so all are drawn together.
    absent = _absent(random, edges, size, count)
    absent = dict(zip(("test", "val", "train"), np.split(absent, ends)))
    pairs = np.concatenate([parts[split], absent[split]])
    label = np.repeat(np.array([1, 0], np.float32), len(parts[split]))
    return {
        **example,
        "edges": parts["train"].astype(np.int32),
        "pairs": pairs.astype(np.int32),
        "pairs_label": label,
    }


def _absent(random: np.random.Generator, edges: np.ndarray, size: int, count: int) -> np.ndarray:
    """Draws `count` different pairs (a, b), a < b, that are no edges."""
    if size * (size - 1) // 2 < 3 * count:
        raise ValueError(f"hold_out_edges: a graph of {size} nodes has too few pairs without edges")
    known = set((edges[:, 0] * size + edges[:, 1]).tolist())
    found: list[int] = []
    while len(found) < count:
        for a, b in np.sort(random.integers(0, size, (count, 2)), axis=1).tolist():
            if a != b and a * size + b not in known and len(found) < count:
                known.add(a * size + b)
                found.append(a * size + b)
    return np.stack(np.divmod(np.array(found), size), axis=1)


def _both_directions(example: Example, rng: np.random.Generator) -> Example:
    edges = _checked_edges(example)
    twice = np.concatenate([edges, edges[:, ::-1]])
    between = twice[twice[:, 0] != twice[:, 1]]
    if len(np.unique(between, axis=0)) < len(between):
        raise ValueError("both_directions: an edge is there twice, or in both directions already")
    found = {name: np.concatenate([x, x]) for name, x in example.items() if _of_edges(name)}
    return {**example, **found, "edges": twice}


def _normalize_nodes(example: Example, rng: np.random.Generator) -> Example:
    nodes = np.asarray(feature(example, "nodes"), np.float32)
    total = nodes.sum(axis=1, keepdims=True)
    return {**example, "nodes": nodes / np.where(total == 0, 1, total)}


def _count_nodes(example: Example, rng: np.random.Generator, *, split: str) -> Example:
    counted = np.asarray(feature(example, split), np.float32)
    unknown = int(np.sum((counted > 0) & (np.asarray(feature(example, "node_label")) < 0)))
    if unknown:
        raise ValueError(f"count_nodes: {unknown} nodes of {split} have no label")
    kept = {name: value for name, value in example.items() if name not in _SPLITS}
    return {**kept, "node_counted": counted}


def _of_edges(name: str) -> bool:
    return name.startswith(("edge_", "edges_"))


def _checked_edges(example: Example) -> np.ndarray:
    edges = np.asarray(feature(example, "edges"))
    if edges.ndim != 2 or edges.shape[1] != 2 or edges.dtype.kind not in "iu":
        raise ValueError(f"edges are {shown(edges)}, expected pairs of node numbers (m, 2)")
    return edges
