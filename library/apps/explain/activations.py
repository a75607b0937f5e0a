"""Images of a network's layers: the filters of the first layer, the activations of any layer."""

import flax.linen as nn
import numpy as np
from jaxtyping import Array, Float, PyTree, UInt8

from library.apps.explain import layers
from library.config import ConfigError


def first_filters(
    model: nn.Module, variables: PyTree, image: Float[Array, "b h w c"]
) -> tuple[str, Float[np.ndarray, "n y x c"]]:
    """Returns the name of the first layer with a kernel for pixels, and its filters.

    The filters are the kernels of the first convolution. For a network without a convolution they
    are the weights of the first dense layer, one image for each of its units.

    Args:
      model: the network.
      variables: params and statistics of the model.
      image: images as the model takes them.

    Raises:
      ConfigError: no layer's kernel fits the pixels.
    """
    size = image.shape[1:]
    for name in layers.survey(model, variables, image):
        kernel = _params(variables["params"], name).get("kernel", np.zeros(()))
        if kernel.ndim == 4 and kernel.shape[2] == size[-1]:
            return name, np.moveaxis(np.asarray(kernel, np.float32), -1, 0)
        if kernel.ndim == 2 and len(kernel) == np.prod(size):
            return name, np.asarray(kernel, np.float32).T.reshape(-1, *size)
    raise ConfigError(f"{type(model).__name__} has no layer whose kernel fits images of {size}")


def filter_images(filters: Float[np.ndarray, "n h w c"]) -> UInt8[np.ndarray, "m h w _"]:
    """Returns filters as images, each scaled by its greatest absolute value; 0 is grey.

    Filters of one or three channels keep their channels. For other filters each channel becomes an
    image; the images of one filter follow each other.
    """
    if filters.shape[-1] not in (1, 3):
        filters = np.moveaxis(filters, -1, 1).reshape(-1, *filters.shape[1:3], 1)
    greatest = np.abs(filters).max(axis=(1, 2, 3), keepdims=True)
    return np.uint8(127.5 * (1 + filters / np.maximum(greatest, 1e-12)) + 0.5)


def activation_images(
    activation: Float[np.ndarray, "b h w c"], channels: int = 8
) -> tuple[np.ndarray, UInt8[np.ndarray, "b k h w 1"]]:
    """Returns the most active channels of a layer, and an image of each channel for each example.

    Args:
      activation: activation of a layer with a spatial grid.
      channels: number of channels to choose, by the greatest mean absolute activation over the
        examples.

    Returns:
      The numbers of the channels in ascending order, and the images, from black, the channel's
      least value over all examples, to white, its greatest value.
    """
    strength = np.abs(activation).mean(axis=(0, 1, 2))
    chosen = np.sort(np.argsort(-strength, kind="stable")[:channels])
    maps = np.asarray(activation, np.float32)[..., chosen]
    least, greatest = maps.min(axis=(0, 1, 2)), maps.max(axis=(0, 1, 2))
    scaled = (maps - least) / np.maximum(greatest - least, 1e-12)
    return chosen, np.moveaxis(np.uint8(255 * scaled + 0.5), -1, 1)[..., None]


def _params(params, path):
    for name in path.split("/"):
        params = params.get(name, {}) if hasattr(params, "get") else {}
    return params if hasattr(params, "get") else {}
