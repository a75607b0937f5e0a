"""Sizes of models: params, shapes of what they record, multiply-adds as papers count them."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from library.weights import costs


def by_layer(model: nn.Module, size: int) -> dict[str, int]:
    """Returns the multiply-adds of each layer that has any, by its path."""
    return {row.path: row.flops // 2 for row in costs.layers_of(model, size) if row.flops}


def millions(model: nn.Module, size: int = 224) -> float:
    """Returns the multiply-adds of a model for one image, in 1e6."""
    return costs.flops_of(model, size) / 2e6


def shapes(model: nn.Module, size: int = 224) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of what a model records for one image, without the batch."""
    image = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    _, variables = jax.eval_shape(
        lambda key, x: model.init_with_output(key, x, mutable=True), jax.random.key(0), image
    )
    return {name: x.shape[1:] for name, x in variables["intermediates"].items()}


def traced(model: nn.Module, size: int) -> tuple[tuple[int, ...], int, dict]:
    """Returns the shape of the logits, the number of params, and the shapes of what is recorded.

    The output of each submodule is under its name, in "__call__". All shapes are without the batch.
    """
    image = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    options = dict(mutable=True, capture_intermediates=True)
    logits, variables = jax.eval_shape(
        lambda x: model.init_with_output(jax.random.key(0), x, **options), image
    )
    params = sum(x.size for x in jax.tree.leaves(variables["params"]))
    recorded = jax.tree.map(lambda x: x.shape[1:], variables["intermediates"])
    return logits.shape[1:], params, recorded


def parameters(model: nn.Module, size: int = 64) -> int:
    """Returns the number of a model's params."""
    image = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    params = jax.eval_shape(model.init, jax.random.key(0), image)["params"]
    return sum(x.size for x in jax.tree.leaves(params))
