"""Masked autoencoding: a model predicts the pixels of the hidden patches of an image.

He et al. 2022, "Masked autoencoders are scalable vision learners", arXiv 2111.06377.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray, PyTree, UInt32

from library import rng
from library.config import ConfigError
from library.forward import streams, variables_of
from library.layers.checks import nearest_multiples
from library.layers.patches import patchify, unpatchify
from library.task import Batch, Learner, Loss, Metrics, Task, TrainState, pair

# Added to the variance of a patch, as in the authors' code.
EPSILON = 1e-6


def mae(
    model: nn.Module,
    minimize: Callable[[Loss], Learner],
    *,
    mask_ratio: float = 0.75,
    norm_pix: bool = True,
) -> Task:
    """Builds the task of predicting the hidden patches of `batch["image"]` from the visible ones.

    The metric is the loss: the squared error of the hidden patches, averaged over their pixels
    (section 3, "Reconstruction target"). Training draws the hidden patches again for each example
    and step; in evaluation and outputs the example's `row` fixes them.

    Outputs: "features" (b, d), the encoder's features of the whole image; "reconstruct", the image
    with its hidden patches as predicted; "masked_reconstruct" (b, 3, h, w, c), the image, the image
    with 0 in its hidden patches (the mean colour of normalized images), and the reconstruction.

    Args:
      model: one of library/models/image/mae.py.
      minimize: turns a loss into the training step.
      mask_ratio: share of the patches to hide, rounded to a whole number of patches.
      norm_pix: whether each patch of the target is normalized by its own mean and variance (over
        n - 1, plus 1e-6, as in the authors' code).

    Raises:
      ConfigError: the model has no `features`, or the ratio is outside (0, 1). When traced: images
        do not divide into patches, the ratio hides no patch or all of them, or `norm_pix` is set
        for patches of one number.
    """
    if not callable(getattr(model, "features", None)):
        name = type(model).__name__
        raise ConfigError(f"task 'mae' needs a model of library/models/image/mae.py, not {name}")
    if not 0 < mask_ratio < 1:
        raise ConfigError(f"mask_ratio={mask_ratio}: valid are shares above 0 and below 1")

    def init(key: PRNGKeyArray, batch: Batch) -> TrainState:
        image = batch["image"]
        visible, hidden = _counts(image.shape, model.patch_size, mask_ratio)
        order = jnp.zeros((len(image), visible + hidden), jnp.int32)
        return learner.init(model.init(rng.purpose(key, "params"), image, order, visible))

    def predict(variables, image, keys, **options):
        """Returns the predictions (b, n, p) of all patches, and whether each was hidden (b, n)."""
        visible, hidden = _counts(image.shape, model.patch_size, mask_ratio)
        order = _shuffles(keys, visible + hidden)
        predicted = model.apply(variables, image, order, visible, **options)
        return predicted, jnp.argsort(order, axis=1) >= visible

    def measured(predicted, was_hidden, batch):
        patches = patchify(batch["image"], model.patch_size)
        target = _normalized(patches)[0] if norm_pix else patches
        errors = jnp.mean(jnp.square(predicted - target), axis=-1)
        losses = jnp.mean(errors, axis=1, where=was_hidden)
        return {"loss": pair(losses, batch["mask"])}

    def loss(
        params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Metrics, PyTree]:
        keys = rng.per_example(rng.purpose(key, "mask"), batch["index"])
        rngs = streams(key, batch["index"])
        everything = {"params": params, **variables}
        found = predict(everything, batch["image"], keys, train=True, rngs=rngs)
        return measured(*found, batch), variables

    def predict_fixed(state, batch):
        return predict(variables_of(state), batch["image"], _fixed_keys(batch["row"]))

    def evaluate(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        return measured(*predict_fixed(state, batch), batch)

    learner = minimize(loss)
    outputs = _outputs(model, predict_fixed, norm_pix)
    return Task(init, learner.update, evaluate, outputs)


def _outputs(
    model: nn.Module, predict: Callable[..., tuple[Array, Array]], norm_pix: bool
) -> Mapping[str, Callable[..., Array]]:
    def masked_reconstruct(
        state: TrainState, batch: Batch, key: PRNGKeyArray
    ) -> Float[Array, "b 3 h w c"]:
        image, patch = batch["image"], model.patch_size
        predicted, was_hidden = predict(state, batch)
        patches = patchify(image, patch)
        if norm_pix:
            _, mean, deviation = _normalized(patches)
            predicted = predicted * deviation + mean
        hidden = was_hidden[:, :, None]
        rows = [jnp.where(hidden, 0.0, patches), jnp.where(hidden, predicted, patches)]
        return jnp.stack([image, *(unpatchify(x, patch, image.shape[1]) for x in rows)], axis=1)

    def reconstruct(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b h w c"]:
        return masked_reconstruct(state, batch, key)[:, 2]

    def features(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b d"]:
        return model.apply(variables_of(state), batch["image"], method="features")

    return {
        "features": features,
        "reconstruct": reconstruct,
        "masked_reconstruct": masked_reconstruct,
    }


def _normalized(patches: Float[Array, "b n p"]) -> tuple[Array, Array, Array]:
    """Returns normalized patches, and each patch's mean and standard deviation (b, n, 1)."""
    if patches.shape[-1] < 2:
        raise ConfigError("norm_pix=True: patches of one number have no variance; try patch_size=2")
    mean = jnp.mean(patches, axis=-1, keepdims=True)
    deviation = jnp.sqrt(jnp.var(patches, axis=-1, keepdims=True, ddof=1) + EPSILON)
    return (patches - mean) / deviation, mean, deviation


def _shuffles(keys: Key[Array, " b"], num: int) -> Int[Array, "b {num}"]:
    """Returns a random permutation of `num` patches for each key, by sorting noise."""
    noise = jax.vmap(lambda key: jax.random.uniform(key, (num,)))(keys)
    return jnp.argsort(noise, axis=1)


def _fixed_keys(row: UInt32[Array, " b"]) -> Key[Array, " b"]:
    # The keys do not depend on run or step, so that evaluations of different runs compare.
    return rng.per_example(rng.purpose(rng.root(0), "mask"), row)


def _counts(shape: tuple[int, ...], patch: int, mask_ratio: float) -> tuple[int, int]:
    """Returns how many patches of an image of this shape are visible, and how many are hidden."""
    height, width = shape[1:3]
    if height % patch or width % patch:
        raise ConfigError(
            f"a {height}x{width} image does not divide into {patch}x{patch} patches; "
            f"nearest: {nearest_multiples(height, width, patch)}"
        )
    num = (height // patch) * (width // patch)
    hidden = round(mask_ratio * num)
    if not 0 < hidden < num:
        fewest, most = 1 / num, (num - 1) / num
        valid = f"valid are {fewest:.3g} to {most:.3g}" if num > 1 else "no ratio is valid"
        raise ConfigError(f"mask_ratio={mask_ratio} hides {hidden} of {num} patches: {valid}")
    return num - hidden, hidden
