"""The errors of a measuring network: how large they are, and for which true values."""

import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from library.config import ConfigError, nearest
from library.evaluation.context import Context, Evaluator, collected
from library.summaries import Summary
from library.task import Batch, TrainState


def error_by_value(
    context: Context,
    *,
    split: str = "test",
    value: str = "target",
    component: int = 0,
    output: str = "error",
    edges: tuple[float, ...] | None = None,
    bins: int = 10,
    batch_size: int | None = None,
) -> Evaluator:
    """Measures the error of examples over a split, and its mean by the true value.

    Args:
      context: the task, the data and functions to run over it.
      split: the split to evaluate.
      value: the feature with the true values, (b,) or (b, d).
      component: which of the d values.
      output: the task's output with the errors, (b,).
      edges: edges of the bins of the value, in increasing order; a bin holds its lower edge, the
        last one both, and values beyond the edges are in no bin. By default `bins` of equal width
        from the least to the greatest value.
      bins: number of bins if there are no edges.
      batch_size: examples per batch; `dataset.eval_batch_size` by default.

    Returns:
      `state -> {"mean_error", "median_error", "percentile_90_error", "error_by_value" (4, bins)}`:
      the rows are the lower edge, the upper edge, the number of examples and their mean error,
      which is 0 in a bin without examples. The function raises ValueError if the split is empty or
      has no such component; without a real example the errors are nan.

    Raises:
      ConfigError: the task has no such output, the edges do not increase, or `bins` or
        `component` is out of range.
    """
    if output not in context.task.outputs:
        found = nearest(output, context.task.outputs)
        raise ConfigError(f"error_by_value: the task has no output {output!r}: {found}")
    if edges is not None and (len(edges) < 2 or min(np.diff(edges)) <= 0):
        raise ConfigError(f"edges={edges}: valid are two or more increasing numbers")
    for name, number, least in (("bins", bins, 1), ("component", component, 0)):
        if number < least:
            raise ConfigError(f"{name}={number}: valid are {least} or more")

    def errors(state: TrainState, batch: Batch, key: PRNGKeyArray) -> dict[str, Array]:
        if value not in batch:
            raise ConfigError(f"error_by_value, value={value!r}: {nearest(value, sorted(batch))}")
        error = context.task.outputs[output](state, batch, key)
        return {"error": error, "value": batch[value], "mask": batch["mask"]}

    function = context.collect(errors)

    def evaluate(state: TrainState) -> Summary:
        found = collected(function, state, context.batches(split, batch_size), split)
        error, values = (np.asarray(found[name], np.float64) for name in ("error", "value"))
        values = values.reshape(len(values), int(np.prod(values.shape[1:])))
        if component >= values.shape[1]:
            raise ValueError(f"component={component}: {value!r} has {values.shape[1]} values")
        return {
            "mean_error": float(np.mean(error)) if len(error) else float("nan"),
            "median_error": _percentile(error, 50.0),
            "percentile_90_error": _percentile(error, 90.0),
            "error_by_value": binned(error, values[:, component], edges, bins),
        }

    return evaluate


def _percentile(error: Float[np.ndarray, " n"], percent: float) -> float:
    return float(np.percentile(error, percent)) if len(error) else float("nan")


def binned(
    error: Float[np.ndarray, " n"],
    values: Float[np.ndarray, " n"],
    edges: tuple[float, ...] | None,
    bins: int,
) -> Float[np.ndarray, "4 bins"]:
    """Returns the lower edge, the upper edge, the count and the mean error of each bin of values.

    Values outside the edges are left out.
    """
    between = np.histogram_bin_edges(values, bins) if edges is None else np.asarray(edges, float)
    count, _ = np.histogram(values, between)
    total, _ = np.histogram(values, between, weights=error)
    return np.stack([between[:-1], between[1:], count, total / np.maximum(count, 1)])
