"""The functions that the edges of a Kolmogorov-Arnold network have learned, drawn."""

import re

import numpy as np
from jaxtyping import Array, Float, UInt8

from library import painting
from library.config import ConfigError
from library.evaluation.context import Context, Evaluator, collected
from library.task import Batch, TrainState

WIDTH, HEIGHT = 64, 48


def edge_functions(
    context: Context,
    *,
    feature: str = "features",
    split: str = "test",
    batch_size: int | None = None,
) -> Evaluator:
    """Draws the value of each edge by the value of the unit where it starts.

    Args:
      context: the task, the data and functions to run over it; the model is a `kan`.
      feature: the model's input, (b, d).
      split: the part of the dataset whose units the curves go through.
      batch_size: examples per batch; `dataset.eval_batch_size` by default.

    Returns:
      `state -> {"edges": uint8 (n, h, w, 3)}`: layer after layer, and within a layer the edges of
      its first input first. The edges of a layer have one scale. Without a real example there is
      no picture.

    Raises:
      ConfigError: the task has no "intermediates", or the model stores no edges.
    """
    if "intermediates" not in context.task.outputs:
        raise ConfigError("edge_functions reads the task's output 'intermediates': it has none")

    def run(state: TrainState, batch: Batch, key: Array) -> dict[str, Array]:
        stored = context.task.outputs["intermediates"](state, batch, key)
        layers = sorted(name for name in stored if re.fullmatch(r"edges\d+", name))
        if not layers:
            raise ConfigError(f"edge_functions: the model stores {', '.join(stored)}, no edges")
        found = {"mask": batch["mask"]}
        for number in range(1, len(layers) + 1):
            units = batch[feature] if number == 1 else stored[f"stage{number - 1}"]
            found |= {f"units{number}": units, f"edges{number}": stored[f"edges{number}"]}
        return found

    function = context.collect(run)

    def evaluate(state: TrainState) -> dict[str, np.ndarray]:
        found = collected(function, state, context.batches(split, batch_size), split)
        if not len(found["units1"]):
            return {}
        layers = range(1, len(found) // 2 + 1)
        parts = [_drawn(found[f"units{n}"], found[f"edges{n}"]) for n in layers]
        return {"edges": np.concatenate(parts)}

    return evaluate


def _drawn(
    units: Float[np.ndarray, "b d"], edges: Float[np.ndarray, "b d k"]
) -> UInt8[np.ndarray, "n h w 3"]:
    low, high = float(edges.min()), float(edges.max())
    room = 0.05 * (high - low) or 1.0
    pictures = []
    for start in range(edges.shape[1]):
        order = np.argsort(units[:, start], kind="stable")
        x = units[order, start].astype(float)
        places = np.linspace(x[0], x[-1], WIDTH)
        for values in edges[order, start].T:
            curve = np.interp(places, x, values.astype(float))
            pictures.append(painting.plotted(curve[None], low - room, high + room, HEIGHT))
    return np.stack(pictures)
