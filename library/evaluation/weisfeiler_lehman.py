"""The Weisfeiler-Lehman subtree kernel, beside which a graph network is measured.

Shervashidze et al. 2011, "Weisfeiler-Lehman graph kernels", JMLR 12. Nodes have colours; each
iteration gives a node a new colour by its own and those of its neighbours. The kernel of two graphs
counts the pairs of nodes with the same colour, over all iterations. No network is used.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import scipy.sparse
from jaxtyping import Array, Float, Int, PRNGKeyArray
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.svm import SVC

from library.config import ConfigError
from library.evaluation.context import Context, Evaluator
from library.summaries import Summary
from library.task import Batch, TrainState

_PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0)
_FOLDS = 5
_READ = ("nodes", "edges", "graph", "nodes_mask", "edges_mask", "label", "mask")


class Graphs(NamedTuple):
    """Labelled graphs as one flat graph.

    Attributes:
      colour: the kind of each node, int (n,).
      edges: pairs of node numbers in both directions, int (e, 2).
      graph: the graph of each node, int (n,).
      label: the class of each graph, int (b,).
    """

    colour: Int[np.ndarray, " n"]
    edges: Int[np.ndarray, "e 2"]
    graph: Int[np.ndarray, " n"]
    label: Int[np.ndarray, " b"]


def weisfeiler_lehman(
    context: Context,
    *,
    split: str = "test",
    iterations: int = 3,
    batch_size: int | None = None,
) -> Evaluator:
    """Measures a support vector machine on the kernel, fitted to the split "train".

    Its penalty is one of 0.01, 0.1, 1, 10 and 100, chosen by five folds of the training split. The
    kernel is divided by the norms of both graphs. The kind of a node is the place of the largest
    entry of its features.

    Args:
      context: the data and functions to run over them.
      split: the split to evaluate.
      iterations: number of iterations, 0 or more.
      batch_size: graphs per batch; `dataset.eval_batch_size` by default.

    Returns:
      `state -> {"accuracy"}`. The state does not matter.

    Raises:
      ConfigError: the number of iterations is negative.
    """
    if iterations < 0:
        raise ConfigError(f"weisfeiler_lehman, iterations={iterations}: valid are 0 or more")

    def given(state: TrainState, batch: Batch, key: PRNGKeyArray) -> dict[str, Array]:
        return {name: batch[name] for name in _READ}

    function = context.collect(given)

    def read(state: TrainState, split: str) -> Graphs:
        return joined(function(state, x) for x in context.batches(split, batch_size))

    def evaluate(state: TrainState) -> Summary:
        fitted, measured = read(state, "train"), read(state, split)
        # A rehearsal of the run has no graphs.
        if len(np.unique(fitted.label)) < 2:
            return {"accuracy": float("nan")}
        return {"accuracy": accuracy(fitted, measured, iterations)}

    return evaluate


def joined(batches: Iterable[dict[str, np.ndarray]]) -> Graphs:
    """Returns the graphs of batches without padding."""
    parts, nodes, graphs = [], 0, 0
    for batch in batches:
        there, real = batch["nodes_mask"] > 0, batch["mask"] > 0
        number = np.cumsum(there) - 1
        # Graphs of padding have no nodes; the others are numbered without them.
        place = np.cumsum(real) - 1
        edges = number[batch["edges"][batch["edges_mask"] > 0]]
        colour = np.argmax(batch["nodes"][there], axis=1)
        graph = place[batch["graph"][there]] + graphs
        parts.append(Graphs(colour, edges.reshape(-1, 2) + nodes, graph, batch["label"][real]))
        nodes, graphs = nodes + int(there.sum()), graphs + int(real.sum())
    return Graphs(*(np.concatenate(each) for each in zip(*parts)))


def accuracy(fitted: Graphs, measured: Graphs, iterations: int) -> float:
    """Returns the accuracy on `measured` of the machine that is fitted to `fitted`."""
    count = len(fitted.label)
    whole = joined_graphs(fitted, measured)
    features = colour_counts(whole, iterations)
    kernel = np.asarray((features @ features.T).todense(), np.float64)
    norm = np.sqrt(np.diagonal(kernel))
    kernel /= np.where(norm > 0, norm, 1)[:, None] * np.where(norm > 0, norm, 1)[None]
    folds = StratifiedKFold(min(_FOLDS, np.bincount(fitted.label).min()))
    search = GridSearchCV(SVC(kernel="precomputed"), {"C": _PENALTIES}, cv=folds)
    search.fit(kernel[:count, :count], fitted.label)
    return float(np.mean(search.predict(kernel[count:, :count]) == measured.label))


def joined_graphs(first: Graphs, second: Graphs) -> Graphs:
    """Returns the graphs of both, numbered one after the other."""
    return Graphs(
        np.concatenate([first.colour, second.colour]),
        np.concatenate([first.edges, second.edges + len(first.colour)]),
        np.concatenate([first.graph, second.graph + len(first.label)]),
        np.concatenate([first.label, second.label]),
    )


def colour_counts(graphs: Graphs, iterations: int) -> Float[scipy.sparse.csr_matrix, "b c"]:
    """Returns how many nodes of each graph have each colour, over all iterations, (b, colours)."""
    neighbours: list[list[int]] = [[] for _ in graphs.colour]
    for sender, receiver in graphs.edges.tolist():
        neighbours[receiver].append(sender)
    colour, counts, first = graphs.colour.tolist(), Counter(), 0
    for iteration in range(iterations + 1):
        if iteration:
            colour = _refined(colour, neighbours)
        colour = _numbered(colour)
        counts.update((g, first + c) for g, c in zip(graphs.graph.tolist(), colour))
        first += max(colour, default=-1) + 1
    rows, columns = np.array(list(counts)).reshape(-1, 2).T
    values = np.fromiter(counts.values(), np.float64)
    return scipy.sparse.csr_matrix((values, (rows, columns)), (len(graphs.label), first))


def _refined(colour: Sequence[int], neighbours: Sequence[Sequence[int]]) -> list[tuple]:
    """Returns new colours, which tell the old one and those of the neighbours."""
    return [(own, *sorted(colour[n] for n in near)) for own, near in zip(colour, neighbours)]


def _numbered(colour: Sequence) -> list[int]:
    """Replaces colours by numbers from 0, in the order in which they occur."""
    known: dict = {}
    return [known.setdefault(each, len(known)) for each in colour]
