"""Naive Bayes: classes by counts that are independent given the class, in closed form.

The multinomial model of McCallum & Nigam 1998, "A comparison of event models for naive Bayes text
classification": log p(c | x) = log p(c) + sum_w x_w log p(w | c) + constant, with

    p(w | c) = (smoothing + count of w in c) / (smoothing words + count of all words in c)
    p(c) = (1 + examples of c) / (classes + examples)
"""

import math

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Float, PRNGKeyArray

from library.config import ConfigError
from library.finite import nan_unless
from library.task import Batch, Metrics, Task, TrainState, pair, where_present


def naive_bayes(
    model: nn.Module,
    *,
    num_classes: int,
    smoothing: float = 1.0,
    inputs: tuple[str, ...] = ("text", "text_mask"),
    axis_name: str | None = None,
) -> Task:
    """Builds the task of predicting `batch["label"]` from counts.

    A step adds the batch to the counts and computes the classifier anew. After one epoch it is that
    of the whole set, in any order and with any batch size. Each further epoch counts the examples
    again, as a weaker smoothing would. Words that no example of training has count for no class.

    The metrics of training and evaluation are loss, the cross-entropy, and accuracy; those of
    training are of the new classifier on its own batch.

    Outputs: "logits" (b, c), logarithms of p(c, x) up to a constant; "features" (b, w), the counts.

    Args:
      model: `(*inputs, train) -> counts (b, w)`, from 0; a model without params.
      num_classes: number of classes.
      smoothing: what is added to each count.
      inputs: the features that the model takes, in order.
      axis_name: the device axis to sum over, under `pmap`.

    Raises:
      ConfigError: the smoothing is not a finite number above 0.
    """
    if not 0 < smoothing < math.inf:
        raise ConfigError(f"smoothing={smoothing}: valid are finite numbers above 0")

    def counted(batch: Batch) -> Float[Array, "b w"]:
        return model.apply({}, *(batch[name] for name in inputs), train=False)

    def fitted(counts: dict) -> dict:
        """Returns the logarithms of p(w | c), (w, c), and of p(c), (c,)."""
        seen = jnp.any(counts["words"] > 0, axis=1, keepdims=True)
        words = jnp.where(seen, counts["words"] + smoothing, 0)
        share = jnp.where(seen, words, 1) / jnp.maximum(words.sum(0), 1e-30)
        prior = (counts["classes"] + 1) / (counts["classes"].sum() + num_classes)
        return {"kernel": jnp.where(seen, jnp.log(share), 0), "bias": jnp.log(prior)}

    def init(key: PRNGKeyArray, batch: Batch) -> TrainState:
        width = counted(batch).shape[-1]
        counts = {"words": jnp.zeros((width, num_classes)), "classes": jnp.zeros(num_classes)}
        return TrainState(jnp.zeros((), jnp.int32), fitted(counts), {"counts": counts}, (), None)

    def scores(params: dict, counts: Float[Array, "b w"]) -> Float[Array, "b c"]:
        return jnp.matmul(counts, params["kernel"], precision="highest") + params["bias"]

    def measured(found: Float[Array, "b c"], batch: Batch) -> Metrics:
        label = batch["label"]
        each = optax.softmax_cross_entropy_with_integer_labels(found, label)
        # A number outside the classes must show as a NaN loss.
        each = nan_unless((label >= 0) & (label < num_classes), each)
        right = jnp.argmax(found, axis=-1) == label
        return {"loss": pair(each, batch["mask"]), "accuracy": pair(right, batch["mask"])}

    def update(state: TrainState, batch: Batch, key: PRNGKeyArray) -> tuple[TrainState, Metrics]:
        x = where_present(counted(batch), batch["mask"])
        y = where_present(jax.nn.one_hot(batch["label"], num_classes), batch["mask"])
        more = {"words": jnp.matmul(x.T, y, precision="highest"), "classes": y.sum(0)}
        if axis_name is not None:
            more = jax.lax.psum(more, axis_name)
        counts = jax.tree.map(jnp.add, state.variables["counts"], more)
        params = fitted(counts)
        metrics = measured(scores(params, x), batch)
        if axis_name is not None:
            metrics = jax.lax.psum(metrics, axis_name)
        moved = state.replace(step=state.step + 1, params=params, variables={"counts": counts})
        return moved, metrics

    def logits(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b c"]:
        return scores(state.params, counted(batch))

    def features(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b w"]:
        return counted(batch)

    def evaluate(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        return measured(logits(state, batch, key), batch)

    return Task(init, update, evaluate, {"logits": logits, "features": features})
