"""Regression: real numbers from an image, and the loss that fits each output layer.

A loss is the negative log-likelihood of the target under the distribution that the output layer
parameterises (Bishop 2006, Pattern Recognition and Machine Learning, section 4.3.6):

| The target is                  | Output layer    | Distribution | Loss                  |
|--------------------------------|-----------------|--------------|-----------------------|
| a real number                  | identity        | Gaussian     | squared error, "mse"  |
| a real number, with outliers   | identity        | Laplace      | absolute error, "mae" |
| the same, smooth at the target | identity        | Huber's      | "huber"               |
| a number between two bounds    | sigmoid, scaled | Gaussian     | squared error, "mse"  |
| yes or no, once or many times  | sigmoid         | Bernoulli    | binary cross-entropy  |
| one of c classes               | softmax         | categorical  | cross-entropy         |

Identity with squared error, sigmoid with binary cross-entropy and softmax with cross-entropy are
the matched ("canonical") pairs: the gradient at the layer's input is prediction - target, up to a
factor, and does not vanish where the layer saturates. The cross-entropies are in
`library.tasks.classification`.
"""

import math
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from library import summaries
from library.config import ConfigError, check_choice
from library.forward import evaluated, initialized, recorded_outputs, trained
from library.task import Batch, Learner, Loss, Metrics, Task, TrainState, check_outputs, pair


def regression(
    model: nn.Module,
    minimize: Callable[[Loss], Learner],
    *,
    num_outputs: int,
    loss: Literal["mse", "mae", "huber"] = "mse",
    huber_delta: float = 1.0,
    bounds: tuple[float, float] | None = None,
    target_mean: tuple[float, ...] | None = None,
    target_scale: tuple[float, ...] | None = None,
    output_names: tuple[str, ...] = (),
    inputs: tuple[str, ...] = ("image",),
) -> Task:
    """Builds the task of predicting `batch["target"]`, float (b, d), from the image or `inputs`.

    Let y be the target's mean and s its scale. The model's output z becomes the prediction y + s z,
    or low + (high - low) sigmoid(z) between bounds. The loss is that of (prediction - target) / s,
    averaged over the d outputs. Predictions and the metrics other than the loss are in the units of
    the target.

    The metrics are loss and regression (4, d): the sums of the squared error, the absolute error,
    target - y and (target - y)^2, from which `library.summaries` makes mse, rmse, mae and r2. With
    names for the outputs, such as "speed", they are also speed_mae, the absolute error of this
    output.

    Outputs: "prediction" (b, d); "error" (b,), the mean absolute error of an example's d values;
    with names for the outputs "speed_error" (b,), the absolute error of this output; "features"
    (b, d'), the input of the model's head; "intermediates", all values that the model records.

    Args:
      model: `(image (b, h, w, c), train) -> (b, num_outputs)`.
      minimize: turns a loss into the training step.
      num_outputs: d, the number of values to predict.
      loss: "mse", the squared error (without a factor 1/2), "mae" or "huber".
      huber_delta: the error at which huber turns from squares to absolute values (Huber 1964),
        e^2 / 2 below and delta |e| - delta^2 / 2 above.
      bounds: the lowest and the highest prediction; no bounds by default.
      target_mean: y, one value per output; zeros by default. A target far from zero (a year) needs
        it to be learned quickly, and for r2 to be exact in float32.
      target_scale: s, one value per output; ones by default.
      output_names: names of the d outputs, which their units may need; none by default.
      inputs: the features that the model takes, in order.

    Raises:
      ConfigError: the model has another number of outputs, the bounds are in the wrong order, a
        delta is not positive or the loss does not use it, or means, scales or names do not fit the
        outputs.
    """
    check_outputs(model, num_outputs, "num_outputs")
    measure = _loss_of_errors(loss, huber_delta)
    mean, scale = _checked_scaling(num_outputs, target_mean, target_scale)
    if output_names and len(output_names) != num_outputs:
        raise ConfigError(f"output_names has {len(output_names)} values for {num_outputs} outputs")
    if bounds is not None and not -math.inf < bounds[0] < bounds[1] < math.inf:
        raise ConfigError(f"bounds={bounds}: valid are two numbers, the first below the second")

    def init(key: PRNGKeyArray, batch: Batch) -> TrainState:
        return learner.init(initialized(model, key, batch, inputs))

    def predicted(z: Float[Array, "b d"]) -> Float[Array, "b d"]:
        if bounds is None:
            return mean + scale * z
        return bounds[0] + (bounds[1] - bounds[0]) * jax.nn.sigmoid(z)

    def metrics(predictions: Float[Array, "b d"], batch: Batch) -> Metrics:
        _check_target(batch["target"], predictions)
        error, mask = predictions - batch["target"], batch["mask"]
        losses = jnp.mean(measure(error / scale), axis=-1)
        centered = batch["target"] - mean
        rows = [jnp.square(error), jnp.abs(error), centered, jnp.square(centered)]
        named = {f"{n}_mae": pair(jnp.abs(error[:, i]), mask) for i, n in enumerate(output_names)}
        sums = pair(jnp.stack(rows, axis=1), mask)
        return {"loss": pair(losses, mask), "regression": sums, **named}

    def objective(
        params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Metrics, PyTree]:
        z, moved = trained(model, params, variables, batch, inputs, key)
        return metrics(predicted(z), batch), moved

    def prediction(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b d"]:
        return predicted(evaluated(model, state, batch, inputs))

    def errors(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b d"]:
        found = prediction(state, batch, key)
        _check_target(batch["target"], found)
        return jnp.abs(found - batch["target"])

    def error(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, " b"]:
        return jnp.mean(errors(state, batch, key), axis=-1)

    def evaluate(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        return metrics(prediction(state, batch, key), batch)

    learner = minimize(objective)
    outputs = {"prediction": prediction, "error": error, **recorded_outputs(model, inputs)}
    for i, name in enumerate(output_names):
        outputs[f"{name}_error"] = lambda *given, i=i: errors(*given)[:, i]
    return Task(init, learner.update, evaluate, outputs, {"regression": summaries.regression})


def _loss_of_errors(loss: str, delta: float) -> Callable[[Array], Array]:
    check_choice("loss", loss, ("mse", "mae", "huber"))
    if loss != "huber" and delta != 1.0:
        raise ConfigError(f"huber_delta={delta} is read with loss='huber' only, not {loss!r}")
    if not delta > 0:
        raise ConfigError(f"huber_delta={delta}: valid are numbers above 0")
    return {
        "mse": jnp.square,
        "mae": jnp.abs,
        "huber": lambda error: optax.huber_loss(error, delta=delta),
    }[loss]


def _checked_scaling(
    num_outputs: int, mean: tuple[float, ...] | None, scale: tuple[float, ...] | None
) -> tuple[np.ndarray, np.ndarray]:
    mean = (0.0,) * num_outputs if mean is None else mean
    scale = (1.0,) * num_outputs if scale is None else scale
    for name, values in (("target_mean", mean), ("target_scale", scale)):
        if len(values) != num_outputs:
            raise ConfigError(f"{name} has {len(values)} values for {num_outputs} outputs")
    if not all(map(math.isfinite, mean)):
        raise ConfigError(f"target_mean={mean}: valid are finite numbers")
    if not all(0 < s < math.inf for s in scale):
        raise ConfigError(f"target_scale={scale}: valid are numbers above 0")
    return np.asarray(mean, np.float32), np.asarray(scale, np.float32)


def _check_target(target: Array, prediction: Array) -> None:
    # (b,) against (b, 1) would broadcast to (b, b) and train on nonsense.
    if target.shape != prediction.shape:
        raise ValueError(f"targets have shape {target.shape}, predictions {prediction.shape}")
