"""The gradient of a batch's loss: summed over parts and devices, divided by the batch's weight."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PyTree

from library import spreading, trees
from library.config import ConfigError


class Gradients(NamedTuple):
    """The gradient of a batch's loss, with what else the loss returns.

    Attributes:
      gradients: the gradient, in the params' dtypes.
      norm: the gradient's norm, a scalar.
      metrics: the loss's metrics, pairs (sum, count).
      variables: the new values of the collections that may change.
    """

    gradients: PyTree
    norm: Array
    metrics: Mapping[str, Any]
    variables: PyTree


def of_batch(
    loss: Callable,
    params: PyTree,
    variables: Mapping[str, PyTree],
    batch: Mapping[str, Array],
    key: Array,
    accumulate: int,
    spread: Mapping[str, str],
    axis_name: str | None,
) -> Gradients:
    """Returns the gradient of a batch's mean loss, summed over parts and devices.

    The sum is divided by the weight of the whole batch.

    Args:
      loss: the loss, see `library.task.minimize`.
      params: the params to differentiate by.
      variables: all collections of variables.
      batch: the batch of this device.
      key: the random key of the step.
      accumulate: number of parts that the batch is split into.
      spread: the spread of each collection, see `library.spreading`.
      axis_name: the device axis to sum over, under `pmap`.

    Raises:
      ConfigError: the batch does not split into that many parts.
    """
    fixed = {name: x for name, x in variables.items() if spread[name] == "constant"}

    def of_moving(params, moving, *rest):
        metrics, variables = loss(params, {**fixed, **moving}, *rest)
        return metrics, {name: x for name, x in variables.items() if name not in fixed}

    start = params, spreading.moving(variables, spread)
    gradients, metrics, moved = _summed_gradients(of_moving, *start, batch, key, accumulate)
    if axis_name is not None:
        gradients, metrics = jax.lax.psum((gradients, metrics), axis_name)
        moved = spreading.over_devices(moved, spread, axis_name)
    weight = jnp.maximum(metrics["loss"][1], jnp.finfo(jnp.float32).tiny)
    gradients = jax.tree.map(lambda g: g / weight.astype(g.dtype), gradients)
    norm = optax.tree.norm(gradients)
    gradients = jax.tree.map(lambda g, p: g.astype(p.dtype), gradients, params)
    return Gradients(gradients, norm, metrics, moved)


def _summed_gradients(loss, params, variables, batch, key, accumulate):
    """Returns the gradient of the summed loss, the summed metrics and the new variables.

    Sums are in float32 at least: in bfloat16, a sum of equal parts stops growing at 256 of them.
    """

    def objective(params, variables, part):
        metrics, variables = loss(params, variables, part, key)
        metrics = {
            name: tuple(jnp.asarray(value, jnp.float32) for value in pair)
            for name, pair in metrics.items()
        }
        return metrics["loss"][0], (metrics, variables)

    def gradient(*arguments):
        gradients, aux = jax.grad(objective, has_aux=True)(*arguments)
        return jax.tree.map(lambda g: g.astype(accumulation_dtype(g.dtype)), gradients), aux

    if accumulate == 1:
        gradients, (metrics, variables) = gradient(params, variables, batch)
        return gradients, metrics, variables

    def part_step(carry, part):
        gradients, metrics, variables = carry
        more, (measured, variables) = gradient(params, variables, part)
        return (trees.add(gradients, more), trees.add(metrics, measured), variables), None

    parts = interleaved(batch, accumulate, f"accumulate={accumulate}")
    first = jax.tree.map(lambda x: x[0], parts)
    shapes = jax.eval_shape(gradient, params, variables, first)
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), (shapes[0], shapes[1][0]))
    (gradients, metrics, variables), _ = jax.lax.scan(part_step, (*zeros, variables), parts)
    return gradients, metrics, variables


def interleaved(batch: Mapping[str, Array], count: int, what: str) -> dict[str, Array]:
    """Splits a batch into `count` stacked parts; part j holds the examples j, j + count, ...

    Every device then works on every part.

    Args:
      batch: arrays (b, ...), "index" among them.
      count: number of parts.
      what: the setting that gives `count`, for the message.

    Raises:
      ConfigError: `count` does not divide the batch.
    """
    size = len(batch["index"])
    if size % count:
        raise ConfigError(f"{what} does not divide a device's {size} examples")
    return jax.tree.map(lambda x: x.reshape(-1, count, *x.shape[1:]).swapaxes(0, 1), dict(batch))


def accumulation_dtype(dtype: Any) -> Any:
    """Returns the dtype to sum numbers of `dtype` in: float32 at least."""
    return jnp.promote_types(dtype, jnp.float32)
