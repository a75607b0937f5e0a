"""The descent of several optimizers on one surface, and a picture of their paths.

The surfaces are those of `library.models.analytic.surface`. There are no data: dataset.name="none".
"""

import itertools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, PRNGKeyArray, PyTree, UInt8

from library import painting, rng
from library.config import ConfigError
from library.task import Batch, Learner, Loss, Metrics, Task, TrainState, pair

SIZE = 96
OUTSIDE = 2 * SIZE
# Every device computes the same path.
SPREAD = {"paths": "replicated"}


def descent(
    model: nn.Module,
    alternate: Callable[..., Learner],
    *,
    optimizers: tuple[str, ...],
    total_steps: int | None = None,
) -> Task:
    """Builds the task of minimizing a surface with several optimizers from the same point.

    The metrics are, for each optimizer, NAME_loss, the value of the surface at its point, and
    NAME_distance, from its point to the nearest minimum.

    Outputs: "sample" (b, h, w, 3) uint8: the surface, darker where it is lower on a logarithmic
    scale, with the path of each optimizer so far in its colour.

    Args:
      model: a surface.
      alternate: makes the training step of several players with losses of their own.
      optimizers: names of the optimizers, those of the section `optimizer`.
      total_steps: steps of the whole run.

    Raises:
      ConfigError: there is no optimizer.
    """
    if not optimizers:
        raise ConfigError("optimizers is empty: name those of the section 'optimizer'")

    def init(key: PRNGKeyArray, batch: Batch) -> TrainState:
        start = model.init(rng.purpose(key, "params"))["params"]
        path = {"points": jnp.zeros((total_steps or 1, 2)), "count": jnp.zeros((), jnp.int32)}
        params, paths = ({name: x for name in optimizers} for x in (start, path))
        return learner.init({"params": params, "paths": paths})

    def objective(name: str) -> Loss:
        def loss(
            params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray
        ) -> tuple[Metrics, PyTree]:
            paths, mask = variables["paths"], batch["mask"]
            point = jax.lax.stop_gradient(params[name]["point"])
            old = paths[name]
            points = old["points"].at[old["count"]].set(point, mode="drop")
            new = {"points": points, "count": old["count"] + 1}
            variables = {**variables, "paths": {**paths, name: new}}
            return measured(params[name], mask), variables

        return loss

    def measured(params: PyTree, mask: Float[Array, " b"]) -> Metrics:
        value = jnp.broadcast_to(model.apply({"params": params}), mask.shape)
        away = jnp.linalg.norm(params["point"] - jnp.array(model.minima), axis=-1).min()
        return {
            "loss": pair(value, mask),
            "distance": pair(jnp.broadcast_to(jax.lax.stop_gradient(away), mask.shape), mask),
        }

    def evaluate(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        found = {}
        for name in optimizers:
            metrics = measured(state.params[name], batch["mask"])
            found |= {f"{name}_{metric}": value for metric, value in metrics.items()}
        return found

    def sample(state: TrainState, batch: Batch, key: PRNGKeyArray) -> UInt8[Array, "b h w 3"]:
        places = {name: state.variables["paths"][name] for name in optimizers}
        ends = {name: state.params[name]["point"] for name in optimizers}
        picture = _drawn(model, places, ends)
        # An exported program learns from an input that is read how many pictures it makes.
        return jnp.where(batch["row"][:, None, None, None] >= 0, picture, 0).astype(jnp.uint8)

    learner = alternate({name: objective(name) for name in optimizers}, spread=SPREAD)
    return Task(init, learner.update, evaluate, {"sample": sample})


def _drawn(model: nn.Module, paths: PyTree, ends: PyTree) -> UInt8[Array, "h w 3"]:
    """Returns the surface with each path, and the point where it is now, which is larger."""
    picture = jnp.asarray(_background(model))
    for (name, path), colour in zip(paths.items(), painting.colours(len(paths) + 1)[1:]):
        rows, columns = _pixels(model, path["points"])
        # What is beyond the edge is dropped.
        rows = jnp.where(jnp.arange(len(rows)) < path["count"], rows, OUTSIDE)
        picture = picture.at[rows, columns].set(colour, mode="drop")
        row, column = _pixels(model, ends[name][None])
        for y, x in itertools.product((-1, 0, 1), repeat=2):
            # A negative index would count from the other edge.
            at = (jnp.where(place < 0, OUTSIDE, place) for place in (row + y, column + x))
            picture = picture.at[tuple(at)].set(colour, mode="drop")
    return picture


def _pixels(model: nn.Module, points: Float[Array, "n 2"]) -> tuple[Array, Array]:
    """Returns rows and columns; `OUTSIDE` for a point that is not in the picture."""
    low, high = jnp.array(model.low), jnp.array(model.high)
    share = (points - low) / (high - low)
    inside = jnp.all((share >= 0) & (share <= 1), axis=-1)
    columns, rows = jnp.round(jnp.stack([share[:, 0], 1 - share[:, 1]]) * (SIZE - 1)).astype(int)
    return jnp.where(inside, rows, OUTSIDE), jnp.where(inside, columns, OUTSIDE)


def _background(model: nn.Module) -> UInt8[np.ndarray, "h w 3"]:
    (left, bottom), (right, top) = model.low, model.high
    x, y = np.meshgrid(np.linspace(left, right, SIZE), np.linspace(top, bottom, SIZE))
    with jax.ensure_compile_time_eval():
        values = np.asarray(model.function(jnp.asarray(x), jnp.asarray(y)), np.float64)
    logs = np.log10(values - values.min() + 1e-2)
    share = (logs - logs.min()) / (logs.max() - logs.min())
    # Steps of the shade show the contours.
    grey = 150 + 10 * np.floor(10 * share)
    return np.repeat(grey[:, :, None], 3, axis=2).astype(np.uint8)
