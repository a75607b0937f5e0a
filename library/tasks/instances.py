"""Instance segmentation by location: a class and a mask for each cell of a grid (SOLO).

Wang et al. 2020, "SOLO: Segmenting objects by locations" (arXiv 1912.04488): the loss is the focal
loss of the classes of all cells and three times the dice loss of the masks of the cells that have
an object. The masks that are found are thinned out: one that overlaps a surer one of its class
leaves (section 3.3).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree, Shaped, UInt8

from library import painting
from library.config import ConfigError
from library.forward import evaluated, initialized, recorded_outputs, trained
from library.task import Batch, Learner, Loss, Metrics, Task, TrainState, check_outputs, pair

MASK_WEIGHT = 3.0


class Objects(NamedTuple):
    """The objects of examples: their masks, their classes, and whether each is there."""

    masks: Float[Array, "b n h w"]
    classes: Int[Array, "b n"]
    there: Bool[Array, "b n"]


def instances(
    model: nn.Module,
    minimize: Callable[[Loss], Learner],
    *,
    num_classes: int,
    most: int = 8,
    overlap: float = 0.5,
    target: str = "map",
    classes: str = "digits",
    inputs: tuple[str, ...] = ("image",),
    unnormalize: Callable[[Array], Array] = lambda image: image,
) -> Task:
    """Builds the task of finding objects with a mask each, which may overlap.

    Bit i of the map `target`, int (b, h, w), is the mask of object i, and `classes` (b, n) has its
    class, or -1. An object belongs to the cell of the grid that its centre of mass is in; of two in
    one cell, the later is trained.

    The metrics are loss, class_loss, the focal loss of the cells divided by the number of objects,
    and mask_loss, the mean dice loss of the objects that are trained, from 0 to 1.

    Outputs: "masks" (b, most, h, w), bool; "mask_classes" (b, most); "mask_scores" (b, most), 0 for
    a mask that is none; "error" (b,), 1 minus the mean overlap (IoU) of the true masks with the
    best one found, 0 without true masks; "overlay", uint8 (b, 3, h, w, 3), the image, the true
    masks and those found; "features" and "intermediates", which the model records.

    Args:
      model: `(image (b, h, w, c), train) -> (class logits (b, s, s, num_classes), mask logits
        (b, h, w, s^2))`.
      minimize: turns a loss into the training step.
      num_classes: classes of objects.
      most: the most objects to find in an image.
      overlap: the IoU from which a mask of the same class, less sure than another, leaves.
      target: the feature with the bits of the masks.
      classes: the feature with the classes of the objects.
      inputs: the features that the model takes, in order; the first is the image of the overlay.
      unnormalize: maps normalized images back to [0, 1].

    Raises:
      ConfigError: the model has another number of classes, a number is out of range, or, when the
        step is traced, the model gives something else.
    """
    check_outputs(model, num_classes, "num_classes")
    if most < 1 or not 0 < overlap <= 1:
        raise ConfigError(
            f"most={most}, overlap={overlap}: valid are 1 or more, and above 0 up to 1"
        )

    def init(key: PRNGKeyArray, batch: Batch) -> TrainState:
        return learner.init(initialized(model, key, batch, inputs))

    def metrics(made: tuple[Array, Array], batch: Batch) -> Metrics:
        found, wanted = _checked(made, num_classes), objects_of(batch[target], batch[classes])
        class_loss, mask_loss = losses(*found, wanted)
        loss = class_loss + MASK_WEIGHT * mask_loss
        each = {"loss": loss, "class_loss": class_loss, "mask_loss": mask_loss}
        return {name: pair(values, batch["mask"]) for name, values in each.items()}

    def objective(
        params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Metrics, PyTree]:
        made, moved = trained(model, params, variables, batch, inputs, key)
        return metrics(made, batch), moved

    def located(state: TrainState, batch: Batch) -> tuple[Array, Array, Array]:
        made = _checked(evaluated(model, state, batch, inputs), num_classes)
        return jax.vmap(lambda c, m: found_in(c, m, most, overlap))(*made)

    def error(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, " b"]:
        masks, _, scores = located(state, batch)
        return _error(objects_of(batch[target], batch[classes]), masks, scores)

    def overlay(state: TrainState, batch: Batch, key: PRNGKeyArray) -> UInt8[Array, "b 3 h w 3"]:
        image, wanted = unnormalize(batch[inputs[0]]), objects_of(batch[target], batch[classes])
        masks, _, scores = located(state, batch)
        return _overlay(image, wanted, masks, scores, most)

    def evaluate(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        return metrics(evaluated(model, state, batch, inputs), batch)

    learner = minimize(objective)
    outputs = {
        "masks": lambda state, batch, key: located(state, batch)[0],
        "mask_classes": lambda state, batch, key: located(state, batch)[1],
        "mask_scores": lambda state, batch, key: located(state, batch)[2],
        "error": error,
        "overlay": overlay,
        **recorded_outputs(model, inputs),
    }
    return Task(init, learner.update, evaluate, outputs)


def objects_of(bits: Int[Array, "b h w"], classes: Int[Array, "b n"]) -> Objects:
    """Returns the objects whose masks are the bits of a map; one without a pixel is not there."""
    masks = jnp.stack([(bits >> i) & 1 for i in range(classes.shape[1])], 1).astype(jnp.float32)
    there = (classes >= 0) & (jnp.sum(masks, axis=(2, 3)) > 0)
    return Objects(masks, jnp.maximum(classes, 0), there)


def cells_of(masks: Float[Array, "b n h w"], grid: int) -> Int[Array, "b n"]:
    """Returns the number of the cell, row by row, that the centre of each mask is in."""
    area = jnp.maximum(jnp.sum(masks, axis=(2, 3)), 1)
    height, width = masks.shape[2:]
    y = jnp.sum(masks * (jnp.arange(height) + 0.5)[:, None], axis=(2, 3)) / area
    x = jnp.sum(masks * (jnp.arange(width) + 0.5), axis=(2, 3)) / area
    row, column = (
        jnp.clip((z * grid / side).astype(jnp.int32), 0, grid - 1)
        for z, side in ((y, height), (x, width))
    )
    return row * grid + column


def losses(
    class_logits: Float[Array, "b s s k"], mask_logits: Float[Array, "b h w n"], wanted: Objects
) -> tuple[Float[Array, " b"], Float[Array, " b"]]:
    """Returns the losses of the classes and of the masks of each example."""
    b, grid, _, k = class_logits.shape
    cells, count = cells_of(wanted.masks, grid), jnp.maximum(jnp.sum(wanted.there, -1), 1)
    rows = jnp.arange(b)[:, None]
    # An object that is not there goes to one cell more, which is dropped.
    places = jnp.where(wanted.there, cells, grid**2)
    # The number of the last object in each cell.
    numbers = jnp.broadcast_to(jnp.arange(cells.shape[1]), cells.shape)
    last = jnp.full((b, grid**2 + 1), -1).at[rows, places].max(numbers)
    trained_here = wanted.there & (last[rows, places] == numbers)
    truth = jnp.zeros((b, grid**2 + 1, k))
    truth = truth.at[rows, places, wanted.classes].max(trained_here.astype(jnp.float32))[:, :-1]
    focal = optax.sigmoid_focal_loss(class_logits.reshape(b, -1, k), truth, alpha=0.25, gamma=2.0)
    made = jnp.take_along_axis(jnp.moveaxis(mask_logits, -1, 1), cells[..., None, None], axis=1)
    each = dice_loss(jax.nn.sigmoid(made), wanted.masks)
    num_masks = jnp.maximum(jnp.sum(trained_here, -1), 1)
    mask_loss = jnp.sum(jnp.where(trained_here, each, 0), -1) / num_masks
    return jnp.sum(focal, axis=(1, 2)) / count, mask_loss


def dice_loss(a: Float[Array, "*b h w"], b: Float[Array, "*b h w"]) -> Float[Array, "*b"]:
    """Returns 1 - 2 sum(a b) / (sum(a^2) + sum(b^2)) of masks in [0, 1]."""
    both = jnp.sum(a * b, axis=(-2, -1))
    return 1 - 2 * both / (jnp.sum(a * a + b * b, axis=(-2, -1)) + 1e-6)


def overlaps(a: Shaped[Array, "n h w"], b: Shaped[Array, "m h w"]) -> Float[Array, "n m"]:
    """Returns the intersection over union of each mask of `a` with each of `b`."""
    a, b = (x.reshape(len(x), -1).astype(jnp.float32) for x in (a, b))
    both = jnp.matmul(a, b.T, precision="highest")
    union = jnp.sum(a, -1)[:, None] + jnp.sum(b, -1) - both
    return both / jnp.maximum(union, 1)


def found_in(
    class_logits: Float[Array, "s s k"],
    mask_logits: Float[Array, "h w n"],
    most: int,
    overlap: float,
) -> tuple[Bool[Array, "most h w"], Int[Array, " most"], Float[Array, " most"]]:
    """Returns the surest masks of an image, their classes and scores; scores are 0 for none.

    The score of a mask is the probability of its class times the mean of the mask's own
    probabilities above 1/2. Twice as many candidates as `most` are compared.
    """
    grid = class_logits.shape[0]
    cell_scores = jax.nn.sigmoid(jnp.max(class_logits, -1)).ravel()
    candidates = min(2 * most, grid**2)
    scores, cells = jax.lax.top_k(cell_scores, candidates)
    kinds = jnp.argmax(class_logits, -1).ravel()[cells]
    soft = jax.nn.sigmoid(jnp.moveaxis(mask_logits, -1, 0)[cells])
    masks = soft > 0.5
    area = jnp.sum(masks, axis=(1, 2))
    sureness = jnp.sum(jnp.where(masks, soft, 0), axis=(1, 2)) / jnp.maximum(area, 1)
    scores = jnp.where(area > 0, scores * sureness, 0)
    order = jnp.argsort(-scores)
    scores, kinds, masks = scores[order], kinds[order], masks[order]
    same = (overlaps(masks, masks) >= overlap) & (kinds[:, None] == kinds)

    def thinned(i: Array, kept: Bool[Array, " c"]) -> Bool[Array, " c"]:
        surer = same[i] & kept & (jnp.arange(candidates) < i)
        return kept.at[i].set(~jnp.any(surer))

    kept = jax.lax.fori_loop(0, candidates, thinned, jnp.ones(candidates, bool))
    first = jnp.argsort(~kept)[:most]
    first = jnp.pad(first, (0, most - len(first)))
    real = (jnp.arange(most) < candidates) & kept[first]
    return masks[first] & real[:, None, None], kinds[first], jnp.where(real, scores[first], 0)


def _error(
    wanted: Objects, masks: Bool[Array, "b m h w"], scores: Float[Array, "b m"]
) -> Float[Array, " b"]:
    """Returns 1 minus the mean overlap of the true masks with the best one found."""
    each = jax.vmap(overlaps)(wanted.masks, masks * (scores > 0)[..., None, None])
    best = jnp.where(wanted.there, jnp.max(each, axis=-1), 0)
    count = jnp.sum(wanted.there, -1)
    return jnp.where(count > 0, 1 - jnp.sum(best, -1) / jnp.maximum(count, 1), 0)


def _overlay(
    image: Float[Array, "b h w c"],
    wanted: Objects,
    masks: Bool[Array, "b m h w"],
    scores: Float[Array, "b m"],
    most: int,
) -> UInt8[Array, "b 3 h w 3"]:
    """Returns images in [0, 1] bare, with the true masks, and with those found."""
    drawn = (
        (wanted.masks, jnp.zeros_like(wanted.there)),
        (wanted.masks, wanted.there),
        (masks, scores > 0),
    )
    maps = [_numbered(*each) for each in drawn]
    return jnp.stack([painting.overlaid(image, each, most + 1) for each in maps], axis=1)


def _numbered(masks: Shaped[Array, "b n h w"], there: Bool[Array, "b n"]) -> Int[Array, "b h w"]:
    """Returns a map of the number of a mask at each pixel, from 1; the later covers the earlier."""
    numbers = jnp.arange(1, masks.shape[1] + 1)[:, None, None]
    shown = (masks > 0) & there[..., None, None]
    return jnp.max(jnp.where(shown, numbers, 0), axis=1)


def _checked(made: tuple[Array, Array], num_classes: int) -> tuple[Array, Array]:
    classes, masks = made
    grid = classes.shape[1]
    if classes.shape[1:] != (grid, grid, num_classes) or masks.shape[-1] != grid**2:
        raise ConfigError(
            f"the model gives classes {classes.shape} and masks {masks.shape}, expected "
            f"(b, s, s, {num_classes}) and (b, h, w, s^2)"
        )
    return classes, masks
