"""Where an image is strange: maps of the difference from its reconstruction, on planted anomalies.

A network that reconstructs what it was trained on leaves out what it never saw. Bergmann, Loewe,
Fauser, Sattlegger & Steger 2019, "Improving unsupervised defect segmentation by applying structural
similarity to autoencoders" (arXiv 1807.02011), compare two maps of the difference: the squared
error of a pixel, and 1 minus the structural similarity of its neighbourhood (Wang, Bovik, Sheikh &
Simoncelli 2004, "Image quality assessment: From error visibility to structural similarity").
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, PRNGKeyArray, UInt8

from library import fidelity, rng
from library.config import ConfigError, check_choice
from library.evaluation.context import Context, Evaluator, collected
from library.ranking import area_under_curve
from library.summaries import Summary
from library.task import Batch, TrainState

# A pixel is a part of an anomaly if its value in [0, 1] has changed by more.
CHANGED = 0.1
KINDS = ("occlusion", "patch")


def anomaly_maps(
    context: Context,
    *,
    output: str = "reconstruct",
    split: str = "test",
    num: int = 256,
    shown: int = 8,
    size: float = 0.25,
    seed: int = 0,
    batch_size: int | None = None,
) -> Evaluator:
    """Measures how well maps of the difference find anomalies that are planted into images.

    Each image gets a square at a random place, once an "occlusion" of one random grey level, once a
    "patch" of the next image of the batch, moved by a random distance. A pixel of the square is
    anomalous if its value has changed by more than 0.1. The area under the ROC curve is the
    probability that an anomalous pixel has a higher value in the map than another pixel, over all
    pixels of all images. The error map is smoothed by the window of the similarity.

    Args:
      context: the task, the data and functions to run over it.
      output: the task's output that reconstructs the image, (b, h, w, c).
      split: the split to evaluate.
      num: number of images, the first of the split.
      shown: number of images that are drawn.
      size: side of the square, as a fraction of the image's shorter side.
      seed: seed of the places, grey levels and distances.
      batch_size: examples per batch; `dataset.eval_batch_size` by default.

    Returns:
      `state -> {"occlusion_error_auroc", "occlusion_similarity_auroc", "patch_error_auroc",
      "patch_similarity_auroc", "occlusion", "patch"}`; the last two are uint8 (shown, 5, h, w, 3):
      the image with its anomaly, its reconstruction, the two maps from black to white, and the
      anomalous pixels. An area is nan if no pixel is anomalous, or all are.

    Raises:
      ConfigError: the task has no such output, or a number is out of range.
    """
    check_choice("output of anomaly_maps", output, context.task.outputs)
    if not 0 < size < 1:
        raise ConfigError(f"anomaly_maps, size={size}: valid are numbers between 0 and 1")
    for name, value in (("num", num), ("shown", shown)):
        if value < 1:
            raise ConfigError(f"anomaly_maps, {name}={value}: valid are 1 or more")

    def maps(state: TrainState, batch: Batch, key: PRNGKeyArray) -> dict[str, Array]:
        image, found = context.unnormalize(batch["image"]), {"mask": batch["mask"]}
        # Padding lies behind the images, which follow each other in a circle.
        count = jnp.maximum(jnp.sum(batch["mask"] > 0), 1)
        other = image[(jnp.arange(len(image)) + 1) % count]
        for kind in KINDS:
            keys = rng.per_example(rng.purpose(rng.root(seed), kind), batch["row"])
            planted, changed = jax.vmap(_PLANT[kind], (0, 0, 0, None))(image, other, keys, size)
            made = {**batch, "image": context.normalize(planted)}
            rebuilt = context.unnormalize(context.task.outputs[output](state, made, key))
            error, dissimilarity = differences(planted, rebuilt)
            drawn = _drawn(planted, rebuilt, error, dissimilarity, changed)
            each = dict(error=error, similarity=dissimilarity, changed=changed, drawn=drawn)
            found |= {f"{kind}_{name}": x for name, x in each.items()}
        return found

    function = context.collect(maps)

    def evaluate(state: TrainState) -> Summary:
        batches = _first(context.batches(split, batch_size), num)
        found = {k: x[:num] for k, x in collected(function, state, batches, split).items()}
        areas = {
            f"{kind}_{which}_auroc": area_under_curve(
                found[f"{kind}_changed"].ravel(), found[f"{kind}_{which}"].ravel()
            )
            for kind in KINDS
            for which in ("error", "similarity")
        }
        return areas | {kind: found[f"{kind}_drawn"][:shown] for kind in KINDS}

    return evaluate


def differences(
    image: Float[Array, "b h w c"], rebuilt: Float[Array, "b h w c"]
) -> tuple[Float[Array, "b h w"], Float[Array, "b h w"]]:
    """Returns the smoothed squared error and 1 - SSIM at each pixel of images in [0, 1].

    The error is a mean over the channels, the similarity that of the mean of the channels.
    """
    error = jnp.mean(jnp.square(image - rebuilt), axis=-1, keepdims=True)
    grey = (_framed(jnp.mean(x, axis=-1, keepdims=True)) for x in (image, rebuilt))
    smoothed = fidelity.gaussian_means(_framed(error))
    return smoothed[..., 0], 1 - fidelity.similarity_map(*grey)[..., 0]


def _framed(x: Float[Array, "b h w c"]) -> Float[Array, "b h+10 w+10 c"]:
    """Mirrors images at their border, so that each pixel is the centre of a window."""
    margin = fidelity.SIDE // 2
    return jnp.pad(x, [(0, 0), (margin, margin), (margin, margin), (0, 0)], mode="reflect")


def _square(
    key: Key[Array, ""], shape: tuple[int, ...], size: float
) -> tuple[Bool[Array, "h w"], Key[Array, ""]]:
    """Draws a square, a fraction of the image's shorter side; returns its pixels and a new key."""
    k_corner, k_rest = jax.random.split(key)
    side = max(1, round(size * min(shape[:2])))
    free = jnp.array(shape[:2]) - side
    top, left = jax.random.randint(k_corner, (2,), 0, free + 1)
    y, x = jnp.arange(shape[0])[:, None], jnp.arange(shape[1])[None]
    return (y >= top) & (y < top + side) & (x >= left) & (x < left + side), k_rest


def _occluded(image: Array, other: Array, key: Array, size: float) -> tuple[Array, Array]:
    inside, key = _square(key, image.shape, size)
    return _replaced(image, jnp.broadcast_to(jax.random.uniform(key), image.shape), inside)


def _patched(image: Array, other: Array, key: Array, size: float) -> tuple[Array, Array]:
    inside, key = _square(key, image.shape, size)
    shift = jax.random.randint(key, (2,), 0, jnp.array(image.shape[:2]))
    return _replaced(image, jnp.roll(other, shift, axis=(0, 1)), inside)


_PLANT = {"occlusion": _occluded, "patch": _patched}


def _replaced(
    image: Float[Array, "h w c"], values: Float[Array, "h w c"], inside: Bool[Array, "h w"]
) -> tuple[Float[Array, "h w c"], Bool[Array, "h w"]]:
    planted = jnp.where(inside[..., None], values, image)
    return planted, jnp.max(jnp.abs(planted - image), axis=-1) > CHANGED


def _drawn(
    planted: Array, rebuilt: Array, error: Array, dissimilarity: Array, changed: Array
) -> UInt8[Array, "b 5 h w 3"]:
    shape = (*planted.shape[:3], 3)

    def shown(x: Float[Array, "b h w"]) -> Float[Array, "b h w 3"]:
        # Each map from black, 0, over red and yellow to white, its own largest value.
        share = x / jnp.maximum(jnp.max(x, axis=(1, 2), keepdims=True), 1e-12)
        return jnp.stack([jnp.clip(3 * share - i, 0, 1) for i in range(3)], axis=-1)

    truth = jnp.broadcast_to(changed[..., None].astype(jnp.float32), shape)
    images = [jnp.broadcast_to(jnp.clip(x, 0, 1), shape) for x in (planted, rebuilt)]
    rows = jnp.stack([*images, shown(error), shown(dissimilarity), truth], axis=1)
    return jnp.round(255 * rows).astype(jnp.uint8)


def _first(batches, num: int):
    """Yields batches until they hold `num` examples."""
    count = 0
    for batch in batches:
        yield batch
        count += len(batch["row"])
        if count >= num:
            return
