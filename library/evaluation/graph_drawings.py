"""Pictures of graphs: molecules, or the surroundings of some nodes, with a model's attention.

Nodes are placed by Fruchterman & Reingold 1991, "Graph drawing by force-directed placement": edges
pull and nodes push each other apart.
"""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, UInt8
from PIL import Image, ImageDraw

from library import painting
from library.config import ConfigError, nearest
from library.evaluation.context import Context, Evaluator
from library.task import Batch, TrainState

_READ = ("nodes", "edges", "graph", "nodes_mask", "edges_mask", "mask", "row")
# More nodes make a picture that nobody can read.
_MOST_NODES = 60
_ITERATIONS = 200


class Drawing(NamedTuple):
    """A graph to draw.

    Attributes:
      kind: the number of each node's colour.
      edges: pairs of node numbers, each once or in both directions.
      edge_weight: from 0 to 1, the width of each edge.
      node_weight: from 0 to 1, the size of each node.
    """

    kind: Int[np.ndarray, " n"]
    edges: Int[np.ndarray, "e 2"]
    edge_weight: Float[np.ndarray, " e"]
    node_weight: Float[np.ndarray, " n"]


def graph_drawings(
    context: Context,
    *,
    split: str = "test",
    attention: str | None = None,
    num: int = 4,
    hops: int = 0,
    size: int = 256,
    batch_size: int | None = None,
) -> Evaluator:
    """Draws the first graphs of a split, the colour of a node by the largest of its features.

    Args:
      context: the task, the data and functions to run over them.
      split: the split.
      attention: what the model stores, such as "layer1/attention" or "set2set/attention": numbers
        per edge, as the width of edges, or per node, as the size of nodes, averaged over heads.
      num: number of pictures.
      hops: above 0, a picture shows the nodes within so many edges of one, in place of a graph: for
        data that are one large graph. The middles are the first nodes with 4 to 60 such nodes.
      size: side of a picture, in pixels.
      batch_size: graphs per batch; `dataset.eval_batch_size` by default.

    Returns:
      `state -> {"graphs", "graphs_captions"}`: images (num, size, size, 3) and captions. Graphs of
      more than 60 nodes are left out.

    Raises:
      ConfigError: a number is out of range, or the task has no intermediates. When it is traced:
        the model does not store such an attention.
    """
    if num < 1 or hops < 0 or size < 32:
        raise ConfigError(
            f"graph_drawings, num={num}, hops={hops}, size={size}: valid are num of 1 or more, "
            "hops of 0 or more and size of 32 or more"
        )
    if attention is not None and "intermediates" not in context.task.outputs:
        raise ConfigError(f"graph_drawings, attention={attention!r}: the task stores nothing")

    def given(state: TrainState, batch: Batch, key: PRNGKeyArray) -> dict[str, Array]:
        found = {name: batch[name] for name in _READ}
        if attention is not None:
            stored = context.task.outputs["intermediates"](state, batch, key)
            weight = _stored(stored, attention)
            found["attention"] = weight.reshape(len(weight), -1).mean(axis=1)
        return found

    function = context.collect(given)

    def evaluate(state: TrainState) -> dict[str, np.ndarray]:
        pictures, captions = [], []
        for batch in context.batches(split, batch_size):
            left = num - len(pictures)
            for drawing, told in itertools.islice(_drawings(function(state, batch), hops), left):
                pictures.append(picture(drawing, size))
                captions.append(f"{split}{told}")
            if len(pictures) == num:
                break
        # A rehearsal of the run has no graphs.
        if not pictures:
            return {}
        return {"graphs": np.stack(pictures), "graphs_captions": np.array(captions)}

    return evaluate


def picture(drawing: Drawing, size: int) -> UInt8[np.ndarray, "s s 3"]:
    """Draws a graph."""
    places = layout(len(drawing.kind), drawing.edges) * (size - 32) + 16
    canvas = Image.new("RGB", (size, size), "white")
    draw = ImageDraw.Draw(canvas)
    for (a, b), weight in zip(drawing.edges, drawing.edge_weight):
        ends = [tuple(places[a].tolist()), tuple(places[b].tolist())]
        grey = round(200 * (1 - weight))
        draw.line(ends, fill=(grey,) * 3, width=1 + round(4 * weight))
    # The first colour is black.
    colours = painting.colours(int(drawing.kind.max(initial=0)) + 2)[1:]
    for (x, y), kind, weight in zip(places.tolist(), drawing.kind, drawing.node_weight):
        radius = 4 + 6 * weight
        box = [x - radius, y - radius, x + radius, y + radius]
        draw.ellipse(box, fill=tuple(colours[kind].tolist()), outline="black")
    return np.asarray(canvas)


def layout(count: int, edges: Int[np.ndarray, "e 2"]) -> Float[np.ndarray, "n 2"]:
    """Returns the places of nodes in the unit square; the same each time."""
    angle = 2 * np.pi * np.arange(count) / max(count, 1)
    # A circle with a wobble, so that no two nodes are in balance by symmetry alone.
    radius = 1 + 0.1 * np.sin(3.7 * np.arange(count))
    places = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    joined = np.zeros((count, count), bool)
    joined[edges[:, 0], edges[:, 1]] = joined[edges[:, 1], edges[:, 0]] = True
    length = 2 / np.sqrt(max(count, 1))
    for step in range(_ITERATIONS):
        apart = places[:, None] - places[None]
        distance = np.maximum(np.linalg.norm(apart, axis=-1), 1e-3)
        force = (length / distance) ** 2 - joined * distance / length
        np.fill_diagonal(force, 0)
        moved = np.sum(force[..., None] * apart, axis=1)
        far = np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-9)
        places += moved / far * np.minimum(far, 0.2 * (1 - step / _ITERATIONS))
    places -= places.min(axis=0, initial=0)
    return places / max(places.max(initial=0), 1e-9)


def _stored(stored: Any, path: str) -> Array:
    for name in path.split("/"):
        if not isinstance(stored, dict) or name not in stored:
            known = stored if isinstance(stored, dict) else ()
            raise ConfigError(
                f"graph_drawings, attention={path!r}: the model stores no {name!r}, "
                f"{nearest(name, known)}"
            )
        stored = stored[name]
    return stored


def _drawings(batch: Mapping[str, np.ndarray], hops: int) -> Iterator[tuple[Drawing, str]]:
    """Yields pairs (drawing, caption) of a batch's graphs, or of surroundings of nodes."""
    there, edges = batch["nodes_mask"] > 0, batch["edges"][batch["edges_mask"] > 0]
    weights = batch.get("attention")
    node_weight, edge_weight = np.full(len(there), 0.3), np.full(len(edges), 0.3)
    if weights is not None and len(weights) == len(there):
        node_weight = weights
    elif weights is not None:
        # Edges from nodes to themselves may come after those of the graph.
        edge_weight = weights[: len(batch["edges"])][batch["edges_mask"] > 0]
    kind = np.argmax(batch["nodes"], axis=1)
    for chosen, told in _chosen(batch, there, edges, hops):
        number = np.cumsum(chosen) - 1
        inside = chosen[edges[:, 0]] & chosen[edges[:, 1]]
        weight = np.clip(edge_weight[inside], 0, 1)
        size = np.clip(node_weight[chosen], 0, 1)
        yield Drawing(kind[chosen], number[edges[inside]], weight, size), told


def _chosen(
    batch: Mapping[str, np.ndarray],
    there: Bool[np.ndarray, " n"],
    edges: Int[np.ndarray, "e 2"],
    hops: int,
) -> Iterator[tuple[Bool[np.ndarray, " n"], str]]:
    """Yields which nodes to draw, and what the caption says."""
    if not hops:
        for place in np.flatnonzero(batch["mask"] > 0):
            chosen = there & (batch["graph"] == place)
            if 0 < chosen.sum() <= _MOST_NODES:
                yield chosen, f"[{batch['row'][place]}]"
        return
    for node in np.flatnonzero(there):
        chosen = np.arange(len(there)) == node
        for _ in range(hops):
            chosen[edges[chosen[edges[:, 0]], 1]] = True
        if 4 <= chosen.sum() <= _MOST_NODES:
            yield chosen, f", around node {node}"
