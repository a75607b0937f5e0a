"""Robust accuracy: the accuracy on images changed by an adversary that knows the network."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from library import config, rng
from library.config import ConfigError, check_choice
from library.evaluation.context import Context, Evaluator
from library.evaluation.totals import total
from library.summaries import Summary, summarize
from library.task import Batch, Metrics, TrainState, pair


def robust_accuracy(
    context: Context,
    *,
    adversary: dict,
    restarts: int = 1,
    split: str = "test",
    batch_size: int | None = None,
) -> Evaluator:
    """Measures a classifier under attack, on every example of a split once.

    Args:
      context: a context whose task has the output "logits" (b, k), which the adversary
        differentiates, for images normalized by `context.normalize`.
      adversary: name and arguments of a function of library/adversarial_examples/adversaries.py,
        such as dict(name="pgd", epsilon=0.3, steps=40, step_size=0.01).
      restarts: number of attacks on each image, each from another random start. An image counts as
        right if all attacks fail.
      split: the split to evaluate.
      batch_size: examples per batch; `dataset.eval_batch_size` by default.

    Returns:
      `state -> {"accuracy", "loss"}`: the share of examples that are classified correctly after
      every attack, and the greatest cross-entropy of an example's attacks, averaged over examples.
      The function raises ValueError if the split is empty.

    Raises:
      ConfigError: the adversary is unknown, its settings are out of range, the task has no logits,
        or, when called, examples do not have one label each.
    """
    change = config.build(adversary, "library.adversarial_examples.adversaries", "adversary")
    check_choice("output of the task", "logits", context.task.outputs)
    if restarts < 1:
        raise ConfigError(f"restarts={restarts}: valid are 1 or more")

    def attacked(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        label = batch["label"]
        if label.ndim != 1:
            raise ConfigError(f"robust_accuracy: labels have shape {label.shape}, not one each")

        def logits(pixels: Float[Array, "b h w c"]) -> Float[Array, "b k"]:
            shown = {**batch, "image": context.normalize(pixels)}
            return context.task.outputs["logits"](state, shown, key)

        # Normalizing and its inverse may round values slightly out of [0, 1].
        pixels = jnp.clip(context.unnormalize(batch["image"]), 0, 1)
        keys = rng.per_example(rng.purpose(key, "attack"), batch["index"])

        def attack(worst, restart):
            right, loss = worst
            now = jax.vmap(jax.random.fold_in, (0, None))(keys, restart)
            found = logits(change(logits, pixels, label, now))
            more = optax.softmax_cross_entropy_with_integer_labels(found, label)
            return (right & (found.argmax(-1) == label), jnp.maximum(loss, more)), None

        first = jnp.ones(label.shape, bool), jnp.zeros(label.shape)
        (right, loss), _ = jax.lax.scan(attack, first, jnp.arange(restarts))
        return {"accuracy": pair(right, batch["mask"]), "loss": pair(loss, batch["mask"])}

    measured = context.measure(attacked)

    def evaluate(state: TrainState) -> Summary:
        return summarize(total(measured, state, context.batches(split, batch_size), split))

    return evaluate
