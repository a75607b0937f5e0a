"""Graphs of a split in memory: flat arrays from which the device makes its batches.

| array | |
| --- | --- |
| features of nodes or edges | (nodes or edges of all graphs, ...), one graph after the other |
| `first_node`, `first_edge` | int32 (n + 1,): where those of each graph begin, and the end |
| all others, with `mask` | (n, ...), one entry per graph |

A batch of them is the batch that `graphs.collate` makes of the same examples.
"""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from library.data import graphs
from library.data.graphs import Budget

FIRST = {"nodes": "first_node", "edges": "first_edge"}


def packed(budget: Budget, examples: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Returns the arrays of graphs, without their places in a run (`index` and `row`)."""
    names = [name for name in examples[0] if name not in ("index", "row")]
    ragged = graphs.parts(budget, names)
    found = {
        name: (np.concatenate if name in ragged else np.stack)([x[name] for x in examples])
        for name in names
    }
    for part, first in FIRST.items():
        found[first] = np.cumsum([0, *(len(x[part]) for x in examples)], dtype=np.int32)
    return found


def like(
    budget: Budget, batch: Mapping[str, jax.ShapeDtypeStruct], count: int
) -> dict[str, jax.ShapeDtypeStruct]:
    """Returns shapes of the arrays of `count` graphs: those of groups that fill their budget."""
    added = (*graphs.ADDED, "index", "row")
    found = {name: x for name, x in batch.items() if name not in added}
    return found | {first: jax.ShapeDtypeStruct((count + 1,), np.int32) for first in FIRST.values()}


def example(budget: Budget, held: Mapping[str, np.ndarray], row: int) -> dict[str, np.ndarray]:
    """Returns one of the graphs, with `mask`."""
    ends = {part: held[first][row : row + 2].tolist() for part, first in FIRST.items()}
    found = {}
    for name, values in held.items():
        if name not in FIRST.values():
            part = budget.part(name)
            found[name] = values[row] if part is None else values[slice(*ends[part])]
    return found


def check_fit(budget: Budget, held: Mapping[str, np.ndarray], rows: np.ndarray) -> None:
    """Raises UnfitExample if the graphs at `rows` (b,) of a batch exceed the budget of a group.

    The device, which cannot raise errors, would cut them off.
    """
    groups = rows.reshape(-1, budget.num_graphs)
    for part, first in FIRST.items():
        counts = np.diff(held[first])[groups].sum(1)
        worst = int(counts.argmax())
        graphs.check_count(budget, part, int(counts[worst]), groups[worst])


def gathered(
    budget: Budget, held: Mapping[str, jax.Array], batch: Mapping[str, jax.Array]
) -> dict[str, jax.Array]:
    """Returns the batch of the graphs at `batch["row"]` (b,), on the device.

    Nodes are numbered within their group, as by `graphs.collate`. The graphs must fit, see
    `check_fit`.
    """
    rows = batch["row"].astype(jnp.int32).reshape(-1, budget.num_graphs)
    slots = {part: _slots(held[first], rows, most) for part, first, most in _parts(budget)}
    found = {}
    for name, values in held.items():
        part = budget.part(name)
        if name in FIRST.values():
            continue
        if part is None:
            found[name] = values[batch["row"]]
        else:
            found[name] = _taken(values, *slots[part][:2])
    (_, there, which, before), (_, edges_there, edges_which, _) = slots["nodes"], slots["edges"]
    moved = jnp.take_along_axis(before, edges_which, axis=1).reshape(-1, 1)
    found["edges"] = jnp.where(edges_there.reshape(-1, 1), found["edges"] + moved, 0)
    found["graph"] = jnp.where(there, which, 0).reshape(-1)
    for part in graphs.PARTS:
        found[f"{part}_mask"] = slots[part][1].astype(jnp.float32).reshape(-1)
    return {**batch, **found, "mask": batch["mask"] * found["mask"]}


def _parts(budget: Budget) -> list[tuple[str, str, int]]:
    most = {"nodes": budget.num_nodes, "edges": budget.num_edges}
    return [(part, FIRST[part], most[part]) for part in graphs.PARTS]


def _slots(
    first: jax.Array, rows: jax.Array, most: int
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Returns what each of `most` places of each group holds.

    Args:
      first: where the nodes, or the edges, of each graph begin (n + 1,).
      rows: the graphs of each group (g, k).
      most: places of a group.

    Returns:
      The place in the split's array, whether there is anything, and the graph within its group,
      each (g, most); and how many places come before each graph of a group (g, k).
    """
    counts = first[rows + 1] - first[rows]
    ends = jnp.cumsum(counts, axis=1)
    place = jnp.arange(most, dtype=jnp.int32)
    which = jax.vmap(lambda end: jnp.searchsorted(end, place, side="right"))(ends)
    which = jnp.minimum(which, rows.shape[1] - 1).astype(jnp.int32)
    there = place < ends[:, -1:]
    before = ends - counts
    moved = jnp.take_along_axis(first[rows] - before, which, axis=1)
    return jnp.where(there, place + moved, 0), there, which, before


def _taken(values: jax.Array, source: jax.Array, there: jax.Array) -> jax.Array:
    """Returns the values at `source`, and zeros where there are none."""
    found = values[source.reshape(-1)]
    shape = (-1,) + (1,) * (found.ndim - 1)
    return jnp.where(there.reshape(shape), found, jnp.zeros((), found.dtype))
