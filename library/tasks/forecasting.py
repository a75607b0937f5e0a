"""Forecasting with intervals: quantiles of the steps ahead, learnt directly or from a Gaussian.

| output | the model's numbers | loss |
| --- | --- | --- |
| "quantiles" | a quantile each level | pinball (Koenker & Bassett 1978, "Regression quantiles") |
| "gaussian" | mean and scale | negative log-likelihood (Nix & Weigend 1994) |

The pinball loss of a level p is p e for an error e = target - quantile above 0, and (p - 1) e below
0. Its expectation is least at the quantile. Nix & Weigend's paper is "Estimating the mean and
variance of the target probability distribution".
"""

import itertools
import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from library import summaries
from library.config import ConfigError, check_choice
from library.forward import evaluated, initialized, recorded_outputs, trained
from library.task import Batch, Learner, Loss, Metrics, Task, TrainState, check_outputs, pair

# The least scale of a Gaussian, in units of the standardized series.
LEAST_SCALE = 1e-3


def forecasting(
    model: nn.Module,
    minimize: Callable[[Loss], Learner],
    *,
    num_outputs: int,
    output: Literal["quantiles", "gaussian"] = "quantiles",
    levels: tuple[float, ...] = (0.05, 0.5, 0.95),
    inputs: tuple[str, ...] = ("series",),
) -> Task:
    """Builds the task of forecasting `batch["target"]`, (b, n), with an interval about it.

    The n numbers are steps ahead of d channels, one step after the other. The model gives as many
    numbers for each of the levels, or for the mean and the scale: n of the first, n of the second,
    and so on. A scale is softplus of a number. Quantiles that cross are put in order.

    The metrics are loss; mse, rmse, mae and r2 of the median; coverage, the share of numbers from
    the lowest to the highest quantile, which should be the difference of their levels; width, the
    mean of the distance between these two; and skill, 1 - mse / mse of the last known step, which
    is 0 for a forecast that is no better than "as it is now".

    Outputs: "prediction" (b, n), the median; "quantiles" (b, q, n); "error" (b,), the mean absolute
    error; "features"; "intermediates".

    Args:
      model: `(series (b, t, d), train) -> (b, parts n)`; parts are the levels, or 2.
      minimize: turns a loss into the training step.
      num_outputs: n.
      output: "quantiles" or "gaussian".
      levels: increasing levels of the quantiles; the middle one is 0.5.
      inputs: the features that the model takes; the first is the known series, (b, t, d).

    Raises:
      ConfigError: the output is unknown, the levels are not increasing numbers in (0, 1) about 0.5,
        or the model has another number of outputs. When it is traced: the target is no whole steps.
    """
    check_choice("output of forecasting", output, _FORMS)
    _check_levels(levels)
    parts, quantiles_of, loss_of = _FORMS[output](levels)
    check_outputs(model, parts * num_outputs, "num_outputs")

    def init(key: PRNGKeyArray, batch: Batch) -> TrainState:
        return learner.init(initialized(model, key, batch, inputs))

    def split(z: Float[Array, "b pn"]) -> Float[Array, "b p n"]:
        if z.shape[1] != parts * num_outputs:
            raise ConfigError(
                f"forecasting: the model gives {z.shape[1]} numbers, expected {parts} for each of "
                f"{num_outputs}: {parts * num_outputs}"
            )
        return z.reshape(len(z), parts, num_outputs)

    def last_known(batch: Batch) -> Float[Array, "b n"]:
        last = batch[inputs[0]][:, -1]
        if num_outputs % last.shape[-1]:
            raise ConfigError(
                f"forecasting: a target of {num_outputs} numbers is no whole steps of "
                f"{last.shape[-1]} channels"
            )
        return jnp.tile(last, (1, num_outputs // last.shape[-1]))

    def measured(z: Float[Array, "b p n"], batch: Batch) -> Metrics:
        target, mask = batch["target"], batch["mask"]
        quantiles = quantiles_of(z)
        low, median, high = (quantiles[:, at] for at in (0, len(levels) // 2, -1))
        inside = (low <= target) & (target <= high)
        error = median - target
        rows = [jnp.square(error), jnp.abs(error), target, jnp.square(target)]
        squares = [jnp.square(error), jnp.square(last_known(batch) - target)]
        return {
            "loss": pair(loss_of(z, target), mask),
            "regression": pair(jnp.stack(rows, axis=1), mask),
            "coverage": pair(jnp.mean(inside, axis=-1), mask),
            "width": pair(jnp.mean(high - low, axis=-1), mask),
            "skill": pair(jnp.stack(squares, axis=1).mean(-1), mask),
        }

    def objective(
        params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Metrics, PyTree]:
        z, moved = trained(model, params, variables, batch, inputs, key)
        return measured(split(z), batch), moved

    def evaluate(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        return measured(split(evaluated(model, state, batch, inputs)), batch)

    def quantiles(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b q n"]:
        return quantiles_of(split(evaluated(model, state, batch, inputs)))

    def prediction(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b n"]:
        return quantiles(state, batch, key)[:, len(levels) // 2]

    def error(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, " b"]:
        return jnp.mean(jnp.abs(prediction(state, batch, key) - batch["target"]), axis=-1)

    learner = minimize(objective)
    outputs = {"prediction": prediction, "quantiles": quantiles, "error": error}
    outputs |= recorded_outputs(model, inputs)
    meanings = {"regression": summaries.regression, "skill": skill}
    return Task(init, learner.update, evaluate, outputs, meanings)


def skill(sums: Float[np.ndarray, " two"], count: np.ndarray) -> dict[str, float]:
    """Summarizes the sums of two squared errors as 1 - the first / the second."""
    return {"skill": float(1 - summaries.divide(sums[0], sums[1]))}


def _quantile_form(levels: tuple[float, ...]):
    level = np.asarray(levels, np.float32)[:, None]

    def loss(z: Float[Array, "b q n"], target: Float[Array, "b n"]) -> Float[Array, " b"]:
        error = target[:, None] - z
        return jnp.mean(jnp.maximum(level * error, (level - 1) * error), axis=(1, 2))

    return len(levels), lambda z: jnp.sort(z, axis=1), loss


def _gaussian_form(levels: tuple[float, ...]):
    places = np.float32([NormalDist().inv_cdf(level) for level in levels])[:, None]

    def parts(z: Float[Array, "b 2 n"]) -> tuple[Array, Array]:
        return z[:, 0], LEAST_SCALE + jax.nn.softplus(z[:, 1])

    def loss(z: Float[Array, "b 2 n"], target: Float[Array, "b n"]) -> Float[Array, " b"]:
        mean, scale = parts(z)
        half = jnp.square((target - mean) / scale) / 2 + jnp.log(scale)
        return jnp.mean(half, axis=-1) + math.log(2 * math.pi) / 2

    def quantiles(z: Float[Array, "b 2 n"]) -> Float[Array, "b q n"]:
        mean, scale = parts(z)
        return mean[:, None] + scale[:, None] * places

    return 2, quantiles, loss


_FORMS = {"quantiles": _quantile_form, "gaussian": _gaussian_form}


def _check_levels(levels: tuple[float, ...]) -> None:
    rising = all(low < high for low, high in itertools.pairwise(levels))
    inside = len(levels) >= 3 and levels[0] > 0 and levels[-1] < 1
    if not (rising and inside and len(levels) % 2 and levels[len(levels) // 2] == 0.5):
        raise ConfigError(
            f"forecasting, levels={list(levels)}: valid are increasing numbers between 0 and 1, as "
            "many below 0.5 as above it, such as [0.05, 0.5, 0.95]"
        )
