"""Kernels of 8-bit integers, with one scale for each output.

Integer weights with a scale are from Jacob et al. 2018, "Quantization and training of neural
networks for efficient integer-arithmetic-only inference" (arXiv 1712.05877). One scale for each
output channel and no zero point are from Krishnamoorthi 2018, "Quantizing deep convolutional
networks for efficient inference" (arXiv 1806.08342). A kernel w becomes q = round(w / s) in
-127 .. 127, where s = max |w| / 127 over the weights of an output. So no weight changes by more
than s / 2.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array, Float, Int8, PyTree

from library.compression.kernels import LAYERS, Kernel, chosen

WHOLE, SCALE = "kernel_int8", "kernel_scale"
_LARGEST = 127


def quantize(
    values: Float[Array, "..."], summed: Sequence[int]
) -> tuple[Int8[Array, "..."], Float[Array, "..."]]:
    """Returns 8-bit integers and a scale. Their product approximates the values.

    Args:
      values: a kernel, or the input of a layer.
      summed: axes that share one scale; the scale has size 1 there.
    """
    greatest = jnp.max(jnp.abs(values), axis=tuple(summed), keepdims=True)
    scale = jnp.where(greatest > 0, greatest, _LARGEST).astype(jnp.float32) / _LARGEST
    whole = jnp.clip(jnp.round(values / scale), -_LARGEST, _LARGEST)
    return whole.astype(jnp.int8), scale


def quantized(params: PyTree, kernels: Mapping[str, Kernel], kept: Sequence[str] = ()) -> PyTree:
    """Replaces each "kernel" by "kernel_int8" and "kernel_scale". Other leaves do not change.

    Args:
      params: params of a network.
      kernels: result of `survey`.
      kept: patterns of kernels that are not quantized.

    Raises:
      ConfigError: see `chosen`.
    """
    leaves = flatten_dict(params, sep="/")
    for path in chosen(kernels, kept):
        holder, _, _ = path.rpartition("kernel")
        kernel = leaves.pop(path)
        whole, scale = quantize(jnp.asarray(kernel), range(kernels[path].inputs))
        leaves |= {f"{holder}{WHOLE}": whole, f"{holder}{SCALE}": scale}
    return unflatten_dict(leaves, sep="/")


def dequantized(params: PyTree) -> PyTree:
    """Returns the params with each quantized kernel converted back to floating point."""
    leaves = flatten_dict(params, sep="/")
    for path in [path for path in leaves if path.rpartition("/")[2] == WHOLE]:
        holder = path.removesuffix(WHOLE)
        scale = leaves.pop(f"{holder}{SCALE}")
        leaves[f"{holder}kernel"] = leaves.pop(path) * scale
    return unflatten_dict(leaves, sep="/")


def whole_numbers(call: Any, arguments: tuple, options: dict, context: Any) -> Any:
    """Computes layers with quantized kernels in integers: an interceptor of `intercept_methods`.

    It quantizes the input of the layer at each call, with one scale for each position of a dense
    layer and for each example of a convolution. Products of 8-bit integers are summed in 32 bits.
    """
    module = context.module
    held = type(module) in LAYERS and context.method_name == "__call__"
    if not held or not module.has_variable("params", WHOLE):
        return call(*arguments, **options)
    whole, scale = (module.get_variable("params", name) for name in (WHOLE, SCALE))
    params = {"kernel": whole * scale}
    if module.use_bias:
        params["bias"] = module.get_variable("params", "bias")
    if type(module) is nn.Conv:
        plain = module.clone(parent=None, conv_general_dilated_cls=lambda: _convolved(whole, scale))
    else:
        plain = module.clone(parent=None, dot_general_cls=lambda: _multiplied(whole, scale))
    return plain.apply({"params": params}, *arguments, **options)


def _multiplied(whole: Int8[Array, "..."], scale: Float[Array, "..."]):
    def dot_general(x, kernel, dimensions, precision=None):
        (summed, over), _ = dimensions
        rounded, factor = quantize(x, summed)
        sums = jax.lax.dot_general(rounded, whole, dimensions, preferred_element_type=jnp.int32)
        outputs = scale.shape[len(over) :]
        factor = jnp.squeeze(factor, tuple(summed))
        factor = factor.reshape(*factor.shape, *[1] * len(outputs))
        return (sums * factor * scale.reshape(outputs)).astype(x.dtype)

    return dot_general


def _convolved(whole: Int8[Array, "..."], scale: Float[Array, "..."]):
    def conv_general_dilated(x, kernel, strides, padding, *, precision=None, **options):
        rounded, factor = quantize(x, range(1, x.ndim))
        sums = jax.lax.conv_general_dilated(
            rounded, whole, strides, padding, preferred_element_type=jnp.int32, **options
        )
        return (sums * factor * scale.reshape(-1)).astype(x.dtype)

    return conv_general_dilated
