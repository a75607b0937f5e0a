"""Angles: directions from an image, as points near the unit circle.

A network that gives the angle itself has to jump from +180 to -180 degrees between two images that
are almost equal. It gives the sine and the cosine instead, which do not jump, and the angle is that
of the point (Bishop 2006, "Pattern recognition and machine learning", section 2.3.8).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from library.config import ConfigError
from library.forward import evaluated, initialized, recorded_outputs, trained
from library.task import Batch, Learner, Loss, Metrics, Task, TrainState, check_outputs, pair


def angle(
    model: nn.Module,
    minimize: Callable[[Loss], Learner],
    *,
    num_angles: int = 1,
    inputs: tuple[str, ...] = ("image",),
    target: str = "target",
) -> Task:
    """Builds the task of predicting the angles `target`, in degrees, float (b, d).

    The model gives d sines and then d cosines. The loss is the squared distance between each point
    (sine, cosine) and that of the true angle on the unit circle, a mean over the d angles.

    The metrics are loss and circular_error, the mean of |predicted - true| in degrees along the
    shorter arc, 0 to 180. Random guesses have 90. The evaluator `error_by_value` gives the median.

    Outputs: "prediction" (b, d), in degrees, -180 to 180; "error" (b,), the mean circular error of
    an example's angles; "righted" (b, 2, h, w, c), for images, the image and the image turned back
    by the first predicted angle; "features" and "intermediates", which the model records.

    Args:
      model: `(image (b, h, w, c), train) -> (b, 2 num_angles)`.
      minimize: turns a loss into the training step.
      num_angles: d.
      inputs: the features that the model takes, in order.
      target: the name of the feature with the angles.

    Raises:
      ConfigError: the model has another number of outputs, or, when the step is traced, the target
        has another shape than the prediction.
    """
    check_outputs(model, 2 * num_angles, "2 num_angles")

    def init(key: PRNGKeyArray, batch: Batch) -> TrainState:
        return learner.init(initialized(model, key, batch, inputs))

    def metrics(made: Float[Array, "b p"], batch: Batch) -> Metrics:
        true = _checked(batch[target], num_angles, target)
        squares = jnp.square(made - on_circle(true)).reshape(len(made), 2, num_angles)
        error = jnp.mean(circular_error(angle_of(made), true), axis=-1)
        loss = jnp.mean(jnp.sum(squares, axis=1), axis=-1)
        return {"loss": pair(loss, batch["mask"]), "circular_error": pair(error, batch["mask"])}

    def objective(
        params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Metrics, PyTree]:
        made, moved = trained(model, params, variables, batch, inputs, key)
        return metrics(made, batch), moved

    def prediction(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b d"]:
        return angle_of(evaluated(model, state, batch, inputs))

    def error(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, " b"]:
        true = _checked(batch[target], num_angles, target)
        return jnp.mean(circular_error(prediction(state, batch, key), true), axis=-1)

    def righted(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b 2 h w c"]:
        image, found = batch[inputs[0]], prediction(state, batch, key)
        return jnp.stack([image, jax.vmap(turned)(image, -found[:, 0])], axis=1)

    def evaluate(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        return metrics(evaluated(model, state, batch, inputs), batch)

    learner = minimize(objective)
    outputs = {"prediction": prediction, "error": error, "righted": righted}
    outputs |= recorded_outputs(model, inputs)
    return Task(init, learner.update, evaluate, outputs)


def on_circle(degrees: Float[Array, "*b d"]) -> Float[Array, "*b p"]:
    """Returns the sines and then the cosines of angles."""
    radians = jnp.deg2rad(degrees)
    return jnp.concatenate([jnp.sin(radians), jnp.cos(radians)], axis=-1)


def angle_of(points: Float[Array, "*b p"]) -> Float[Array, "*b d"]:
    """Returns the angles, in degrees from -180 to 180, of points (sines, then cosines)."""
    sine, cosine = jnp.split(points, 2, axis=-1)
    return jnp.rad2deg(jnp.arctan2(sine, cosine))


def circular_error(a: Float[Array, "*b"], b: Float[Array, "*b"]) -> Float[Array, "*b"]:
    """Returns the difference of angles in degrees along the shorter arc, 0 to 180."""
    return jnp.abs((a - b + 180) % 360 - 180)


def turned(image: Float[Array, "h w c"], degrees: Float[Array, ""]) -> Float[Array, "h w c"]:
    """Returns an image turned counterclockwise about its centre, by bilinear interpolation.

    Pixels from outside the image have the value of the nearest pixel of its border.
    """
    height, width, _ = image.shape
    cos, sin = jnp.cos(jnp.deg2rad(degrees)), jnp.sin(jnp.deg2rad(degrees))
    centre = ((height - 1) / 2, (width - 1) / 2)
    y, x = jnp.meshgrid(
        jnp.arange(height) - centre[0], jnp.arange(width) - centre[1], indexing="ij"
    )
    places = [cos * y + sin * x + centre[0], cos * x - sin * y + centre[1]]

    def channel(values: Float[Array, "h w"]) -> Float[Array, "h w"]:
        return map_coordinates(values, places, order=1, mode="nearest")

    return jax.vmap(channel, in_axes=-1, out_axes=-1)(image)


def _checked(true: Float[Array, "b d"], num_angles: int, name: str) -> Float[Array, "b d"]:
    if true.ndim != 2 or true.shape[1] != num_angles:
        raise ConfigError(
            f"the target {name!r} has shape {true.shape}, expected (b, {num_angles}) for "
            f"num_angles={num_angles}"
        )
    return true
