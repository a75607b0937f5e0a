"""Search for strings in lines: lines are ranked by the probability that they contain the string."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from library import ctc
from library.config import ConfigError, check_choice
from library.evaluation.context import Context, Evaluator, collected
from library.summaries import Summary
from library.task import Batch, TrainState


def string_search(
    context: Context,
    *,
    length: int = 2,
    most: int = 100,
    lines: int = 300,
    target: str = "tokens",
    split: str = "test",
    batch_size: int | None = None,
) -> Evaluator:
    """Measures how well a CTC network finds lines by what they contain.

    The queries are the strings of `length` labels that occur in the lines, in lexicographic order.
    A line's score is the probability that it contains the query, over all paths
    (`library.ctc.containing`).

    Args:
      context: a context whose task has the output "logits" (b, t, k), the last the blank.
      length: labels of a query.
      most: the most queries.
      lines: the most lines, the first of the split.
      target: the feature with the labels, (b, n), with the mask `<target>_mask`.
      split: the split to evaluate.
      batch_size: examples per batch; `dataset.eval_batch_size` by default.

    Returns:
      `state -> {"mean_average_precision"}`, the mean over the queries.

    Raises:
      ConfigError: a number is below 1, or the task has no logits.
      ValueError: (when called) no line has `length` labels.
    """
    for name, value in dict(length=length, most=most, lines=lines).items():
        if value < 1:
            raise ConfigError(f"string_search, {name}={value}: valid are 1 or more")
    check_choice("output of the task", "logits", context.task.outputs)

    def read(state: TrainState, batch: Batch, key: PRNGKeyArray) -> dict[str, Array]:
        logits = context.task.outputs["logits"](state, batch, key)
        wanted = jnp.where(batch[f"{target}_mask"] > 0, batch[target], ctc.EMPTY)
        scores = jax.nn.log_softmax(logits.astype(jnp.float32))
        return {"scores": scores, "wanted": wanted, "mask": batch["mask"]}

    compiled = context.collect(read)

    def evaluate(state: TrainState) -> Summary:
        found = collected(compiled, state, context.batches(split, batch_size), split)
        held = [tuple(row[row != ctc.EMPTY].tolist()) for row in found["wanted"][:lines]]
        parts = [{row[i : i + length] for i in range(len(row) - length + 1)} for row in held]
        queries = sorted(set().union(*parts))[:most]
        if not held:
            # The rehearsal of a run has no examples.
            return {"mean_average_precision": np.nan}
        if not queries:
            raise ValueError(f"string_search: no line of {split!r} has {length} labels")
        precisions = []
        for query in queries:
            scores = np.array([ctc.containing(x, query) for x in found["scores"][:lines]])
            precisions.append(
                average_precision(scores, np.array([query in part for part in parts]))
            )
        return {"mean_average_precision": float(np.mean(precisions))}

    return evaluate


def average_precision(scores: Float[np.ndarray, " n"], wanted: Bool[np.ndarray, " n"]) -> float:
    """Returns the mean, over what is wanted, of the precision down to its rank.

    Things with equal scores share the rank of the last of them.
    """
    ranks = np.array([np.count_nonzero(scores >= score) for score in scores[wanted]])
    hits = np.array([np.count_nonzero(scores[wanted] >= score) for score in scores[wanted]])
    return float(np.mean(hits / ranks))
