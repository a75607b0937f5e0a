"""Kernels in whole numbers of 8 bits, with one scale for each output.

Jacob et al. 2018, "Quantization and training of neural networks for efficient integer-arithmetic-
only inference" (arXiv 1712.05877), for weights with a scale; Krishnamoorthi 2018, "Quantizing deep
convolutional networks for efficient inference" (arXiv 1806.08342), for a scale by output channel,
zero meaning zero. A kernel w becomes q = round(w / s) in -127 .. 127 with s = max |w| / 127 over
the weights of an output, so that no weight moves by more than s / 2.
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
_MOST = 127


def quantize(
    values: Float[Array, "..."], summed: Sequence[int]
) -> tuple[Int8[Array, "..."], Float[Array, "..."]]:
    """Returns whole numbers of 8 bits and their scale, whose product the values nearly are.

    Args:
      values: a kernel, or what comes into a layer.
      summed: the axes that have one scale together; the scale has size 1 there.
    """
    greatest = jnp.max(jnp.abs(values), axis=tuple(summed), keepdims=True)
    scale = jnp.where(greatest > 0, greatest, _MOST).astype(jnp.float32) / _MOST
    whole = jnp.clip(jnp.round(values / scale), -_MOST, _MOST)
    return whole.astype(jnp.int8), scale


def quantized(params: PyTree, kernels: Mapping[str, Kernel], kept: Sequence[str] = ()) -> PyTree:
    """Replaces each "kernel" by "kernel_int8" and "kernel_scale"; other leaves stay.

    Args:
      params: of a network.
      kernels: of `survey`.
      kept: patterns of kernels that are left as they are.

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
    """Returns the params with kernels of floats again."""
    leaves = flatten_dict(params, sep="/")
    for path in [path for path in leaves if path.rpartition("/")[2] == WHOLE]:
        holder = path.removesuffix(WHOLE)
        scale = leaves.pop(f"{holder}{SCALE}")
        leaves[f"{holder}kernel"] = leaves.pop(path) * scale
    return unflatten_dict(leaves, sep="/")


def whole_numbers(call: Any, arguments: tuple, options: dict, context: Any) -> Any:
    """Has layers with quantized kernels multiply whole numbers by whole numbers.

    An interceptor, for `nn.intercept_methods`. What comes into a layer is quantized on the spot,
    with one scale for each place of a dense layer and each example of a convolution; products of 8
    bits are summed in 32.
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
