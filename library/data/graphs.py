"""Batches of graphs: several graphs as one flat graph, within a budget of nodes and edges.

An example is a graph: `nodes` (n, d), `edges` (m, 2) as pairs of node numbers, and features with
one entry per node or edge, such as `node_label` (n, ...) or `edges_kind` (m, ...), or those that
the budget names. In a batch of b graphs, each `num_graphs` consecutive graphs are a group that
shares a budget:

| feature | in a batch of g groups with N nodes and E edges each |
| --- | --- |
| `nodes`, `node_...` | (g N, ...), zeros on padding |
| `graph` | (g N,), the place in the batch of each node's graph |
| `edges`, `edge_...` | (g E, ...); `edges` are pairs of node numbers in the batch |
| `nodes_mask`, `edges_mask` | float32, 1 for a node or an edge, 0 for padding |
| all others, `label`, ... | (b, ...), one entry per graph |

The places of graphs in the batch determine the groups. Any number of devices and processes with
whole groups therefore gives the same result. The host numbers nodes and graphs within their group;
`joined` renumbers them within the batch that a program sees.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from library.config import ConfigError, check_choice
from library.data.preprocessing import UnfitExample

PARTS = ("nodes", "edges")
# Features of a batch that examples do not have.
ADDED = ("graph", "nodes_mask", "edges_mask")


class Budget(NamedTuple):
    """The numbers of nodes and edges that a group of graphs shares.

    Attributes:
      num_graphs: graphs per group; the batch size on each device is a multiple of it.
      num_nodes: nodes of a group in total, including padding.
      num_edges: edges of a group in total, including padding.
      of_nodes: features with one entry per node whose names do not begin with "node" or "nodes",
        such as "positions".
      of_edges: features with one entry per edge whose names do not begin with "edge" or "edges".
    """

    num_graphs: int
    num_nodes: int
    num_edges: int
    of_nodes: tuple[str, ...] = ()
    of_edges: tuple[str, ...] = ()

    def part(self, name: str) -> str | None:
        """Returns "nodes" or "edges" for a feature per node or edge, None for one per graph."""
        named = {"node": "nodes", "nodes": "nodes", "edge": "edges", "edges": "edges"}
        own = dict.fromkeys(self.of_nodes, "nodes") | dict.fromkeys(self.of_edges, "edges")
        return own.get(name) or named.get(name.partition("_")[0])


def parts(budget: Budget, names: Sequence[str]) -> list[str]:
    """Lists the features with one entry per node or edge."""
    return [name for name in names if budget.part(name)]


def check(budget: Budget, names: Sequence[str]) -> None:
    """Checks that examples have nodes and edges, and no feature that `collate` adds.

    Raises:
      ConfigError: nodes or edges are missing, `graph` or a mask is present, or the budget names a
        feature that the examples lack.
    """
    for name in PARTS:
        if name not in names:
            raise ConfigError(
                f"dataset.graphs: the examples have no {name!r}, only {', '.join(names)}"
            )
    for name in ADDED:
        if name in names:
            raise ConfigError(
                f"dataset.graphs adds the feature {name!r}, but the examples already have it"
            )
    for name in (*budget.of_nodes, *budget.of_edges):
        check_choice("feature of dataset.graphs", name, names)


def collate(budget: Budget, examples: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Makes a batch, or the part of it that a process loads; nodes are numbered within groups.

    Raises:
      UnfitExample: a group exceeds its budget.
    """
    size = budget.num_graphs
    groups = [examples[i : i + size] for i in range(0, len(examples), size)]
    flat = [_group(budget, group) for group in groups]
    ragged = parts(budget, list(examples[0]))
    whole = [name for name in examples[0] if name not in ragged]
    return {
        **{name: np.stack([example[name] for example in examples]) for name in whole},
        **{name: np.concatenate([group[name] for group in flat]) for name in flat[0]},
    }


def check_count(budget: Budget, part: str, count: int, rows: Sequence[int]) -> None:
    """Raises UnfitExample if the graphs at `rows` have more nodes or edges than a group may."""
    most = {"nodes": budget.num_nodes, "edges": budget.num_edges}[part]
    if count > most:
        raise UnfitExample(
            f"the {len(rows)} graphs of rows {', '.join(map(str, rows))} have {count} {part}: "
            f"dataset.graphs.num_{part}={most} is too small"
        )


def joined(batch: Mapping[str, jax.Array], budget: Budget) -> dict[str, jax.Array]:
    """Renumbers nodes and graphs from within their groups to within the batch, on the device."""
    node, edge = (jnp.arange(len(batch[f"{name}_mask"]), dtype=jnp.int32) for name in PARTS)
    first = edge // budget.num_edges * budget.num_nodes
    return {
        **batch,
        "graph": batch["graph"] + node // budget.num_nodes * budget.num_graphs,
        "edges": batch["edges"] + first[:, None],
    }


def _group(budget: Budget, examples: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    counts = {name: np.array([len(x[name]) for x in examples]) for name in PARTS}
    most = {"nodes": budget.num_nodes, "edges": budget.num_edges}
    for name, own in counts.items():
        check_count(budget, name, int(own.sum()), [int(x["row"]) for x in examples])
    found = {}
    for name in parts(budget, list(examples[0])):
        values = np.concatenate([np.asarray(example[name]) for example in examples])
        kind = budget.part(name)
        if name == "edges":
            first = np.cumsum(counts["nodes"]) - counts["nodes"]
            values = values.astype(np.int32) + np.repeat(first, counts["edges"])[:, None].astype(
                np.int32
            )
        found[name] = _filled(values, most[kind])
    number = np.repeat(np.arange(len(examples), dtype=np.int32), counts["nodes"])
    found["graph"] = _filled(number, budget.num_nodes)
    for name in PARTS:
        there = np.arange(most[name]) < counts[name].sum()
        found[f"{name}_mask"] = there.astype(np.float32)
    return found


def _filled(values: np.ndarray, length: int) -> np.ndarray:
    return np.pad(values, [(0, length - len(values)), *[(0, 0)] * (values.ndim - 1)])
