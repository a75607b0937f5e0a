"""Keypoints by heat maps: for each kind of point a map that is high where the point is.

Tompson, Jain, LeCun & Bregler 2014, "Joint training of a convolutional network and a graphical
model for human pose estimation" (arXiv 1406.2984): each map is trained to be a Gaussian about the
point, by squared errors. Its highest place is the point that is found. As in Xiao, Wu & Wei 2018,
"Simple baselines for human pose estimation and tracking" (arXiv 1804.06208), the place moves by a
quarter of a pixel towards the higher neighbour.
"""

from collections.abc import Callable

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, PRNGKeyArray, PyTree, UInt8

from library import painting
from library.config import ConfigError
from library.forward import evaluated, initialized, recorded_outputs, trained
from library.task import Batch, Learner, Loss, Metrics, Task, TrainState, check_outputs, pair


def keypoints(
    model: nn.Module,
    minimize: Callable[[Loss], Learner],
    *,
    num_points: int,
    sigma: float = 1.5,
    near: float = 0.05,
    target: str = "points",
    inputs: tuple[str, ...] = ("image",),
    unnormalize: Callable[[Array], Array] = lambda image: image,
) -> Task:
    """Builds the task of finding the points `target`, (b, n, 2), y and x as fractions of the image.

    Point i of every example is of the same kind. The loss is the squared error of the maps, a mean
    over the pixels and the points that are there, by `points_mask`, times the number of pixels that
    the Gaussian covers, 2 pi sigma^2, so that it does not depend on the size of the maps.

    The metrics are loss, distance, the mean distance of a found point from the true one as a
    fraction of the image's height, and near, the share of the points within that distance. The
    latter two are means over the images with a point.

    Outputs: "maps" (b, h, w, n); "keypoints" (b, n, 3), y and x as fractions of the image, and the
    height of the map there; "error" (b,), the mean distance of an example's points; "overlay",
    uint8 (b, 3, h, w, 3), the image, the image with its true points, and with the found ones;
    "features" and "intermediates", which the model records.

    Args:
      model: `(image (b, h, w, c), train) -> maps (b, h', w', num_points)`.
      minimize: turns a loss into the training step.
      num_points: n, the number of kinds of points.
      sigma: standard deviation of the Gaussian, in pixels of the map.
      near: the distance of the metric `near`, as a fraction of the height.
      target: the name of the feature with the points.
      inputs: the features that the model takes, in order; the first is the image of the overlay.
      unnormalize: maps normalized images back to [0, 1].

    Raises:
      ConfigError: the model has another number of maps, a number is not positive, or, when the step
        is traced, the target has another number of points.
    """
    check_outputs(model, num_points, "num_points")
    for name, value in (("sigma", sigma), ("near", near)):
        if value <= 0:
            raise ConfigError(f"{name}={value}: valid are numbers above 0")

    def init(key: PRNGKeyArray, batch: Batch) -> TrainState:
        return learner.init(initialized(model, key, batch, inputs))

    def metrics(maps: Float[Array, "b h w n"], batch: Batch) -> Metrics:
        points, there = _given(batch, target, num_points)
        distance = _distances(found_in(maps)[..., :2], points, batch[inputs[0]].shape)
        each = {"loss": _losses(maps, points, there, sigma)}
        each["distance"] = _over_points(distance, there)
        each["near"] = _over_points((distance <= near).astype(jnp.float32), there)
        seen = batch["mask"] * (jnp.sum(there, -1) > 0)
        return {
            name: pair(values, batch["mask"] if name == "loss" else seen)
            for name, values in each.items()
        }

    def objective(
        params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Metrics, PyTree]:
        made, moved = trained(model, params, variables, batch, inputs, key)
        return metrics(made, batch), moved

    def maps(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b h w n"]:
        return evaluated(model, state, batch, inputs)

    def located(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b n 3"]:
        return found_in(maps(state, batch, key))

    def error(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, " b"]:
        points, there = _given(batch, target, num_points)
        found = located(state, batch, key)[..., :2]
        return _over_points(_distances(found, points, batch[inputs[0]].shape), there)

    def overlay(state: TrainState, batch: Batch, key: PRNGKeyArray) -> UInt8[Array, "b 3 h w 3"]:
        image, (points, there) = unnormalize(batch[inputs[0]]), _given(batch, target, num_points)
        found = located(state, batch, key)[..., :2]
        every = jnp.ones_like(there)
        drawn = [(points, jnp.zeros_like(there)), (points, there), (found, every)]
        return jnp.stack([marked(image, *each) for each in drawn], axis=1)

    def evaluate(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        return metrics(maps(state, batch, key), batch)

    learner = minimize(objective)
    outputs = {"maps": maps, "keypoints": located, "error": error, "overlay": overlay}
    outputs |= recorded_outputs(model, inputs)
    return Task(init, learner.update, evaluate, outputs)


def gaussians(
    points: Float[Array, "b n 2"], sides: tuple[int, int], sigma: float
) -> Float[Array, "b h w n"]:
    """Returns maps that are 1 at points (y and x as fractions of the map) and fall as a Gaussian.

    Args:
      points: the points.
      sides: height and width of the maps.
      sigma: the standard deviation in pixels.
    """
    exponents = []
    for axis, side in enumerate(sides):
        # The centre of pixel i is at (i + 1/2) / side.
        gap = jnp.arange(side)[None, :, None] + 0.5 - side * points[:, None, :, axis]
        exponents.append(jnp.exp(-jnp.square(gap / sigma) / 2))
    down, right = exponents
    return down[:, :, None] * right[:, None]


def found_in(maps: Float[Array, "b h w n"]) -> Float[Array, "b n 3"]:
    """Returns the highest place of each map, y and x as fractions, and its height."""
    b, height, width, n = maps.shape
    flat = maps.reshape(b, height * width, n)
    best, score = jnp.argmax(flat, axis=1), jnp.max(flat, axis=1)
    y, x = jnp.divmod(best, width)

    def at(y: Array, x: Array) -> Float[Array, "b n"]:
        place = jnp.clip(y, 0, height - 1) * width + jnp.clip(x, 0, width - 1)
        return jnp.take_along_axis(flat, place[:, None], axis=1)[:, 0]

    down = 0.25 * jnp.sign(at(y + 1, x) - at(y - 1, x))
    right = 0.25 * jnp.sign(at(y, x + 1) - at(y, x - 1))
    # At the border one neighbour is the place itself, and the other is not higher.
    places = [(y + 0.5 + down) / height, (x + 0.5 + right) / width]
    return jnp.stack([*places, score], axis=-1)


def marked(
    image: Float[Array, "b h w c"], points: Float[Array, "b n 2"], there: Float[Array, "b n"]
) -> UInt8[Array, "b h w 3"]:
    """Returns images in [0, 1] with a square of 3x3 pixels about each point, a colour each."""
    n, sides = points.shape[1], jnp.array(image.shape[1:3])
    reach = 1.0 / sides
    boxes = jnp.concatenate([points - reach, points + reach], axis=-1)
    numbers = jnp.broadcast_to(jnp.arange(n), there.shape)
    return painting.framed(image, boxes, numbers, there > 0, n)


def _given(
    batch: Batch, target: str, num_points: int
) -> tuple[Float[Array, "b n 2"], Float[Array, "b n"]]:
    """Returns the true points, and 1 for each that is there and 0 for the others."""
    points = batch[target]
    if points.ndim != 3 or points.shape[1:] != (num_points, 2):
        raise ConfigError(
            f"the target {target!r} has shape {points.shape}, expected (b, {num_points}, 2) for "
            f"num_points={num_points}"
        )
    there = batch.get(f"{target}_mask")
    return points, jnp.ones(points.shape[:2]) if there is None else there


def _losses(
    maps: Float[Array, "b h w n"],
    points: Float[Array, "b n 2"],
    there: Float[Array, "b n"],
    sigma: float,
) -> Float[Array, " b"]:
    """Returns the squared errors of the maps, see `keypoints`."""
    squares = jnp.mean(jnp.square(maps - gaussians(points, maps.shape[1:3], sigma)), (1, 2))
    pixels = maps.shape[1] * maps.shape[2] / (2 * jnp.pi * sigma**2)
    return pixels * _over_points(squares, there)


def _over_points(values: Float[Array, "b n"], there: Float[Array, "b n"]) -> Float[Array, " b"]:
    """Returns the means over the points that are there; 0 where none is."""
    return jnp.sum(jnp.where(there > 0, values, 0), -1) / jnp.maximum(jnp.sum(there, -1), 1)


def _distances(
    a: Float[Array, "b n 2"], b: Float[Array, "b n 2"], shape: tuple[int, ...]
) -> Float[Array, "b n"]:
    """Returns distances of points in an image of a shape (b, h, w, c), in units of its height."""
    gap = (a - b) * jnp.array([1.0, shape[2] / shape[1]])
    return jnp.sqrt(jnp.sum(jnp.square(gap), axis=-1))
