"""Embeddings by triplets: an example is nearer to those of its class than to all others.

Schroff, Kalenichenko & Philbin 2015, "FaceNet: A unified embedding for face recognition and
clustering" (arXiv 1503.03832). The order `balanced` gives batches with several examples a class.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from library.config import ConfigError
from library.forward import evaluated, initialized, recorded_outputs, trained
from library.task import Batch, Learner, Loss, Metrics, Task, TrainState


def triplet(
    model: nn.Module,
    minimize: Callable[[Loss], Learner],
    *,
    margin: float = 0.2,
    inputs: tuple[str, ...] = ("image",),
    axis_name: str | None = None,
) -> Task:
    """Builds the task of embedding examples so that squared distances tell classes apart.

    The model's outputs are scaled to length one. A triplet is an anchor a, a positive p, another
    example of its class, and a negative n, an example of another class. Its loss is
    max(0, |a - p|^2 - |a - n|^2 + margin), equation 2. Each pair of an anchor and a positive in the
    batch makes one triplet, with the semi-hard negative of section 3.2: the nearest one that is
    farther than the positive or, if none is, the farthest one. The batch is the whole one on any
    number of devices. With the recipe's `accumulate` a part of it has its own triplets.

    The metrics of training and of evaluation are loss, a mean over triplets; active, the share of
    triplets with a loss above 0; and accuracy, how often the nearest other example of the batch has
    the anchor's class, over the anchors that have a positive and a negative.

    Outputs: "features" (b, d), the embeddings; "intermediates".

    Args:
      model: `(*inputs, train) -> outputs (b, d)`.
      minimize: turns a loss into the training step.
      margin: alpha in the paper.
      inputs: names of the features that the model takes.
      axis_name: the device axis whose parts of the batch are gathered, under `pmap`.

    Raises:
      ConfigError: the margin is not positive; at `init`, examples do not have one class each.
    """
    if not 0 < margin < 4:
        raise ConfigError(
            f"margin={margin}: squared distances on the unit sphere are 0 to 4, so valid are "
            "numbers between, such as 0.2"
        )

    def init(key: PRNGKeyArray, batch: Batch) -> TrainState:
        if "label" not in batch or batch["label"].ndim != 1:
            raise ConfigError(
                f"triplet needs the class of each example, label (b,); there are {sorted(batch)}"
            )
        return learner.init(initialized(model, key, batch, inputs))

    def measured(embeddings: Array, batch: Batch) -> Metrics:
        found = triplets(embeddings, batch["label"], batch["mask"], margin, axis_name)
        count = jnp.sum(found.counted)
        anchors = jnp.any(found.counted, axis=1)
        return {
            "loss": (jnp.sum(found.losses), count),
            "active": (jnp.sum(found.losses > 0), count),
            "accuracy": (jnp.sum(found.nearest & anchors), jnp.sum(anchors)),
        }

    def objective(
        params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Metrics, PyTree]:
        made, variables = trained(model, params, variables, batch, inputs, key)
        return measured(_on_sphere(made), batch), variables

    def features(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b d"]:
        return _on_sphere(evaluated(model, state, batch, inputs))

    def evaluate(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        return measured(features(state, batch, key), batch)

    learner = minimize(objective)
    outputs = {**recorded_outputs(model, inputs), "features": features}
    return Task(init, learner.update, evaluate, outputs)


class Triplets(NamedTuple):
    """The triplets of a batch, or of a device's part of it with all n examples.

    Attributes:
      losses: the loss of each pair (anchor, positive), 0 for other pairs.
      counted: which pairs are an anchor and a positive, with a negative in the batch.
      nearest: whether the anchor's nearest other example has its class.
    """

    losses: Float[Array, "b n"]
    counted: Bool[Array, "b n"]
    nearest: Bool[Array, " b"]


def triplets(
    embeddings: Float[Array, "b d"],
    label: Int[Array, " b"],
    mask: Float[Array, " b"],
    margin: float,
    axis_name: str | None = None,
) -> Triplets:
    """Returns the losses of all pairs of an anchor and a positive, with semi-hard negatives.

    Args:
      embeddings: of length one.
      label: the class of each example.
      mask: 0 on padding, which is in no triplet.
      margin: alpha in the paper.
      axis_name: the device axis to gather the other examples over.
    """

    def gathered(x):
        return jax.lax.all_gather(x, axis_name, tiled=True) if axis_name else x

    others, classes, present = map(gathered, (embeddings, label, mask))
    first = len(label) * jax.lax.axis_index(axis_name) if axis_name else 0
    own = jnp.arange(len(classes)) == (first + jnp.arange(len(label)))[:, None]
    real = (mask[:, None] > 0) & (present > 0)
    same = label[:, None] == classes
    positive, negative = real & same & ~own, real & ~same
    # |a - b|^2 = 2 - 2 <a, b> on the sphere.
    apart = 2 - 2 * jnp.matmul(embeddings, others.T, precision="highest")
    away = jnp.where(negative, apart, jnp.inf)
    beyond = _next_above(away, apart)
    farthest = jnp.max(jnp.where(negative, apart, -jnp.inf), axis=1, keepdims=True)
    counted = positive & jnp.any(negative, axis=1, keepdims=True)
    chosen = jnp.where(jnp.isfinite(beyond), beyond, farthest)
    losses = jax.nn.relu(apart - jnp.where(counted, chosen, 0) + margin)
    together = jnp.min(jnp.where(positive, apart, jnp.inf), axis=1)
    return Triplets(jnp.where(counted, losses, 0), counted, together < jnp.min(away, axis=1))


def _next_above(values: Float[Array, "b n"], bounds: Float[Array, "b n"]) -> Float[Array, "b n"]:
    """Returns the least of a row's values above each bound of the row, or infinity."""
    ranked = jnp.sort(values, axis=1)
    place = jax.vmap(lambda row, each: jnp.searchsorted(row, each, side="right"))(ranked, bounds)
    ends = jnp.full((len(values), 1), jnp.inf)
    return jnp.take_along_axis(jnp.concatenate([ranked, ends], axis=1), place, axis=1)


def _on_sphere(x: Float[Array, "b d"]) -> Float[Array, "b d"]:
    x = x.astype(jnp.float32)
    # The square root has no gradient at 0, which outputs for padding may reach.
    return x * jax.lax.rsqrt(jnp.maximum(jnp.sum(x * x, axis=-1, keepdims=True), 1e-12))
