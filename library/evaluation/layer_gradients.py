"""How much the gradient of the loss changes from layer to layer: it vanishes, explodes or stays.

Hochreiter 1991 and Bengio, Simard & Frasconi 1994 found it in time, Glorot & Bengio 2010,
"Understanding the difficulty of training deep feedforward neural networks", in depth.
"""

import re
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from library import painting, trees
from library.config import ConfigError
from library.evaluation.context import Context, Evaluator
from library.task import Batch, Metrics, TrainState

WIDTH, DECADES = 20, 12


def layer_gradients(context: Context, *, split: str = "test") -> Evaluator:
    """Measures the gradient of the loss by the kernel of each layer, on the first batch of a split.

    Layers are ordered by the numbers in their names; others, such as "head", come last. If the
    params are those of several networks, by name, each has a curve.

    Args:
      context: the task, the data and functions to run over it.
      split: the part of the dataset.

    Returns:
      `state -> numbers and a picture`. For each network: "gradients" (layers,), the root mean
      square of the gradient of the mean loss; and "first_to_last", that of the first layer divided
      by that of the last. With several networks the names are "gradients_NAME" and
      "first_to_last_NAME". "gradient_picture" uint8 (1, h, w, 3) has a curve for each, on a
      logarithmic axis of twelve decades, up to the largest, the first layer at the left.

    Raises:
      ConfigError: the task reports no loss.
    """

    def slopes(state: TrainState, batch: Batch, key: Array) -> Metrics:
        def loss(params: PyTree) -> Array:
            metrics = context.task.evaluate(state.replace(params=params), batch, key)
            found = [x for name, x in metrics.items() if re.fullmatch(r"(.*_)?loss", name)]
            if not found:
                raise ConfigError(
                    f"layer_gradients: the task reports {', '.join(metrics)}, no loss"
                )
            return sum(total for total, _ in found)

        gradients = jax.grad(loss)(state.params)
        return {path: (x, jnp.sum(batch["mask"])) for path, x in trees.flatten(gradients).items()}

    measured = context.measure(slopes)

    def evaluate(state: TrainState) -> dict[str, float | np.ndarray]:
        batch = next(iter(context.batches(split, None)))
        sums = {
            path: np.asarray(x) / np.asarray(n) for path, (x, n) in measured(state, batch).items()
        }
        found: dict[str, float | np.ndarray] = {}
        networks = by_network(sums)
        for name, values in networks.items():
            end = f"_{name}" if name else ""
            found[f"gradients{end}"] = values.astype(np.float32)
            found[f"first_to_last{end}"] = float(values[0] / values[-1])
        return {**found, "gradient_picture": _drawn(list(networks.values()))[None]}

    return evaluate


def by_network(gradients: Mapping[str, np.ndarray]) -> dict[str, Float[np.ndarray, " layers"]]:
    """Returns the root mean squares of the gradients of kernels, by network, layer after layer.

    Args:
      gradients: the gradients of all params by path, such as "relu/hidden1/kernel".
    """
    found: dict[str, list[tuple]] = {}
    for path, values in gradients.items():
        network, _, layer = path.removesuffix("/kernel").rpartition("/")
        if path.endswith("/kernel"):
            numbers = [int(number) for number in re.findall(r"\d+", layer)]
            size = float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
            found.setdefault(network, []).append((not numbers, numbers, layer, size))
    return {name: np.array([each[-1] for each in sorted(held)]) for name, held in found.items()}


def _drawn(curves: list[np.ndarray]) -> np.ndarray:
    with np.errstate(divide="ignore"):
        logs = [np.log10(values) for values in curves]
    high = max(float(values.max()) for values in logs)
    width = WIDTH * max(map(len, logs))
    rows = np.full((len(logs), width), np.nan)
    for row, values in zip(rows, logs):
        row[: WIDTH * len(values)] = np.repeat(values, WIDTH)
    return painting.plotted(rows, high - DECADES, high)
