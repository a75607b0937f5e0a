"""Contrastive learning: a model maps two views of an image closer than views of other images.

Chen, Kornblith, Norouzi & Hinton 2020, "A Simple Framework for Contrastive Learning of Visual
Representations" (SimCLR, arXiv 2002.05709). The recipe's `views=2` draws two views of every image.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from library.config import ConfigError, nearest
from library.forward import applied, evaluated, initialized, recorded_outputs
from library.task import Batch, Learner, Loss, Metrics, Task, TrainState, pair, where_present


def contrastive(
    model: nn.Module,
    minimize: Callable[[Loss], Learner],
    *,
    temperature: float = 0.1,
    axis_name: str | None = None,
) -> Task:
    """Builds the task of finding the two views of each image among the views of a batch (NT-Xent).

    Each of the 2b views is an anchor. Its positive is the other view of its image, its negatives
    are the 2b - 2 views of other images; padding is neither. The negatives come from the whole
    batch on any number of devices. With the recipe's `accumulate` they come from the anchor's part
    of the batch only, so the result differs from that of a step on the whole batch.

    The training metrics are loss, a mean over anchors; accuracy, how often the positive is nearer
    than all negatives; alignment, the mean squared distance of positives; and uniformity, the
    logarithm of the mean of exp(-2 |x - y|^2) over the views of different images (Wang & Isola
    2020, arXiv 2005.10242, with alpha = t = 2). Both use projections on the unit sphere. An
    evaluation sees one view of each image, so it gives only uniformity, a mean over its batches.

    Outputs: "features" (b, d) of the encoder; "projections" (b, p), of length one; "intermediates".

    Args:
      model: `(image (n, h, w, c), train) -> projections (n, p)`; it records "features".
      minimize: turns a loss into the training step.
      temperature: tau in the paper.
      axis_name: the device axis whose parts of the batch are gathered, under `pmap`.

    Raises:
      ConfigError: the temperature is not positive; at `init`, the model records no features; when
        the step is traced, images do not come in two views.
    """
    if not 0 < temperature < float("inf"):
        raise ConfigError(
            f"temperature={temperature}: valid are finite numbers above 0, such as 0.1 or 0.5"
        )

    def init(key: PRNGKeyArray, batch: Batch) -> TrainState:
        variables = initialized(model, key, batch, ["image"])
        _check_features(model, variables, batch["image"])
        return learner.init(variables)

    def objective(
        params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Metrics, PyTree]:
        image = batch["image"]
        if image.ndim != 5 or image.shape[1] != 2:
            raise ConfigError(
                f"images have shape {image.shape}, not (b, 2, h, w, c): set config.views=2"
            )
        # Merged this way, the views of an image stay on its device.
        merged = [image.reshape(-1, *image.shape[2:])]
        views, moved = applied(model, params, variables, merged, key, batch["index"])
        z = _on_sphere(views).reshape(*image.shape[:2], -1)
        return _metrics(z, batch["mask"], temperature, axis_name), moved

    def projections(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b p"]:
        return _on_sphere(evaluated(model, state, batch, ["image"]))

    def evaluate(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        z = projections(state, batch, key)[:, None]
        return {"uniformity": (_uniformity(z, batch["mask"], axis_name), jnp.ones(()))}

    learner = minimize(objective)
    outputs = {"projections": projections, **recorded_outputs(model)}
    return Task(init, learner.update, evaluate, outputs)


def nt_xent(
    z: Float[Array, "b v p"],
    mask: Float[Array, " b"],
    temperature: float | Array,
    axis_name: str | None = None,
) -> tuple[Float[Array, "b v"], Float[Array, "b v"]]:
    """Returns the normalized temperature-scaled cross-entropy of two views.

    It is equation 1 of Chen et al. 2020.

    Args:
      z: projections of length one.
      mask: 0 on padding, which is no negative of other examples.
      temperature: divisor of the cosine similarities.
      axis_name: the device axis to gather negatives over, if the batch is one device's part.

    Returns:
      Each view's loss, and whether its positive is nearer than every negative (1) or not (0).
    """
    batch, views, _ = z.shape
    others, present = _gathered(z, axis_name), _gathered(mask, axis_name)
    first = batch * jax.lax.axis_index(axis_name) if axis_name else 0
    place = views * first + jnp.arange(batch * views)
    # The two views of an image are neighbours: 0 and 1, 2 and 3, ...
    own = jnp.arange(len(present) * views)[None] == place[:, None]
    positive = jnp.arange(len(present) * views)[None] == (place ^ 1)[:, None]
    logits = _products(z, others) / temperature
    # A positive that is padding stays: the loss of a row without entries would not be finite.
    compared = ((jnp.repeat(present, views)[None] > 0) | positive) & ~own
    logits = jnp.where(compared, logits, -jnp.inf)
    of_positive = jnp.sum(jnp.where(positive, logits, 0.0), axis=-1)
    losses = jax.nn.logsumexp(logits, axis=-1) - of_positive
    nearest_is_positive = of_positive > jnp.max(jnp.where(positive, -jnp.inf, logits), axis=-1)
    correct = nearest_is_positive.astype(z.dtype)
    return losses.reshape(batch, views), correct.reshape(batch, views)


def _metrics(
    z: Float[Array, "b v p"], mask: Float[Array, " b"], temperature: float, axis_name: str | None
) -> Metrics:
    losses, correct = nt_xent(z, mask, temperature, axis_name)
    anchors = jnp.repeat(mask, 2)
    apart = jax.lax.stop_gradient(z)
    return {
        "loss": pair(losses.reshape(-1), anchors),
        "accuracy": pair(correct.reshape(-1), anchors),
        "alignment": pair(jnp.sum((apart[:, 0] - apart[:, 1]) ** 2, axis=-1), mask),
        "uniformity": (_uniformity(apart, mask, axis_name), jnp.ones(())),
    }


def _uniformity(
    z: Float[Array, "b v p"], mask: Float[Array, " b"], axis_name: str | None
) -> Float[Array, ""]:
    """Returns the logarithm of the mean of exp(-2 |x - y|^2) over views of different images."""
    z, mask = _gathered(z, axis_name), _gathered(mask, axis_name)
    present = jnp.repeat(mask, z.shape[1])
    image = jnp.repeat(jnp.arange(len(z)), z.shape[1])
    pairs = present[:, None] * present[None] * (image[:, None] != image[None])
    # |x - y|^2 = 2 - 2 <x, y> on the sphere.
    total = jnp.sum(where_present(jnp.exp(4 * (_products(z, z) - 1)), pairs))
    tiny = jnp.finfo(jnp.float32).tiny
    return jnp.log(jnp.maximum(total, tiny) / jnp.maximum(jnp.sum(pairs), 1))


def _products(x: Float[Array, "b v p"], y: Float[Array, "n v p"]) -> Float[Array, "bv nv"]:
    x, y = (z.reshape(-1, z.shape[-1]) for z in (x, y))
    return jnp.matmul(x, y.T, precision="highest")


def _gathered(x: Array, axis_name: str | None) -> Array:
    """Returns the parts of all devices, joined in the devices' order."""
    return jax.lax.all_gather(x, axis_name, tiled=True) if axis_name else x


def _on_sphere(x: Float[Array, "n p"]) -> Float[Array, "n p"]:
    x = x.astype(jnp.float32)
    # The square root has no gradient at 0, which projections of padding may reach.
    return x * jax.lax.rsqrt(jnp.maximum(jnp.sum(x * x, axis=-1, keepdims=True), 1e-12))


def _check_features(model: nn.Module, variables: PyTree, image: Array) -> None:
    def recorded():
        return model.apply(variables, image, train=False, mutable=["intermediates"])[1]

    found = jax.eval_shape(recorded).get("intermediates", {})
    if "features" not in found:
        name = type(model).__name__
        raise ConfigError(f"model {name} records no 'features': {nearest('features', found)}")
