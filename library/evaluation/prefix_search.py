"""How well the prefix beam search reads: the errors of a CTC network's likeliest readings."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from library import ctc
from library.config import ConfigError, check_choice
from library.evaluation.context import Context, Evaluator, collected
from library.summaries import Summary
from library.task import Batch, TrainState


def prefix_search(
    context: Context,
    *,
    width: int = 10,
    target: str = "tokens",
    split: str = "test",
    batch_size: int | None = None,
) -> Evaluator:
    """Measures the readings of `library.ctc.prefix_beam_search` on a split, on the host.

    Args:
      context: a context whose task has the output "logits" (b, t, k), the last the blank.
      width: prefixes that the search keeps.
      target: the feature with the labels, (b, n), with the mask `<target>_mask`.
      split: the split to evaluate.
      batch_size: examples per batch; `dataset.eval_batch_size` by default.

    Returns:
      `state -> {"label_error_rate", "sequence_accuracy"}`, as in the task `ctc`.

    Raises:
      ConfigError: `width` is below 1, or the task has no logits.
    """
    if width < 1:
        raise ConfigError(f"prefix_search, width={width}: valid are 1 or more")
    check_choice("output of the task", "logits", context.task.outputs)

    def read(state: TrainState, batch: Batch, key: PRNGKeyArray) -> dict[str, Array]:
        logits = context.task.outputs["logits"](state, batch, key)
        wanted = jnp.where(batch[f"{target}_mask"] > 0, batch[target], ctc.EMPTY)
        scores = jax.nn.log_softmax(logits.astype(jnp.float32))
        return {"scores": scores, "wanted": wanted, "mask": batch["mask"]}

    compiled = context.collect(read)

    def evaluate(state: TrainState) -> Summary:
        found = collected(compiled, state, context.batches(split, batch_size), split)
        edits, lengths = [], []
        for scores, wanted in zip(found["scores"], found["wanted"]):
            labels = tuple(wanted[wanted != ctc.EMPTY].tolist())
            best, _ = ctc.prefix_beam_search(scores, width)[0]
            edits.append(ctc.edit_distance(best, labels))
            lengths.append(len(labels))
        if not edits:
            # The rehearsal of a run has no examples.
            return {"label_error_rate": np.nan, "sequence_accuracy": np.nan}
        return {
            "label_error_rate": float(np.sum(edits) / np.sum(lengths)),
            "sequence_accuracy": float(np.mean(np.array(edits) == 0)),
        }

    return evaluate
