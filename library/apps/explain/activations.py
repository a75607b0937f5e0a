"""What a network's layers hold, as images: the filters of the first, the activations of any."""

import flax.linen as nn
import numpy as np
from jaxtyping import Array, Float, PyTree, UInt8

from library.apps.explain import layers
from library.config import ConfigError


def first_filters(
    model: nn.Module, variables: PyTree, image: Float[Array, "b h w c"]
) -> tuple[str, Float[np.ndarray, "n y x c"]]:
    """Returns the kernels that look at the pixels, and the name of their layer.

    They are those of the first convolution or, of a network without one, the weights of the first
    dense layer, one image for each of its units.

    Args:
      model: the network.
      variables: its params and statistics.
      image: as the model takes it.

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

    Of one or three channels they keep those. Of others each channel becomes an image, those of a
    filter one after the other.
    """
    if filters.shape[-1] not in (1, 3):
        filters = np.moveaxis(filters, -1, 1).reshape(-1, *filters.shape[1:3], 1)
    greatest = np.abs(filters).max(axis=(1, 2, 3), keepdims=True)
    return np.uint8(127.5 * (1 + filters / np.maximum(greatest, 1e-12)) + 0.5)


def activation_images(
    activation: Float[np.ndarray, "b h w c"], channels: int = 8
) -> tuple[np.ndarray, UInt8[np.ndarray, "b k h w 1"]]:
    """Returns the most active channels of a layer, and each example's map of each as an image.

    Args:
      activation: of a layer with places in space.
      channels: how many; those of the greatest mean absolute activation over the examples.

    Returns:
      The numbers of the channels, in order, and the images: from a channel's least value over all
      examples, black, to its greatest, white.
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
