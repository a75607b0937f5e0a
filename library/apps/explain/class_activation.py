"""Class activation maps: the places in a layer that speak for a class.

The maps have the layer's size, (b, rows, columns); `enlarged` resizes them to the image's size.
The tokens of a layer are arranged as the grid of their patches, without the class token.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from library.apps.explain import layers
from library.apps.explain.gradients import class_score
from library.config import ConfigError


def cam(
    model: nn.Module,
    variables: PyTree,
    image: Float[Array, "b h w c"],
    label: Int[Array, " b"],
    layer: str,
) -> Float[Array, "b rows columns"]:
    """Returns the sum of a layer's channels, weighted by the head's weights of the class.

    Zhou, Khosla, Lapedriza, Oliva & Torralba 2016, "Learning deep features for discriminative
    localization" (arXiv 1512.04150), equation 2. The mean of the map is the class's logit without
    the bias.

    Args:
      model: a model whose linear head, the submodule "head", takes the mean of the layer over
        space.
      variables: params and statistics of the model.
      image: images as the model takes them.
      label: the class to explain, for each example.
      layer: a name in `layers.survey`.

    Raises:
      ConfigError: there is no such layer or head, or the head does not take the mean of the layer.
    """
    maps = layers.in_space(layers.split(model, variables, image, layer)[0], image.shape, layer)
    kernel = variables["params"].get("head", {}).get("kernel")
    known = layers.survey(model, variables, image)
    fits = kernel is not None and kernel.shape[0] == maps.shape[-1] and "features" in known
    if fits:
        features = layers.split(model, variables, image, "features")[0]
        fits = np.allclose(maps.mean((1, 2)), features, rtol=1e-3, atol=1e-4)
    if not fits:
        raise ConfigError(
            f"the head does not take the mean of layer {layer!r} over space: CAM does not apply, "
            "but Grad-CAM does"
        )
    return jnp.einsum("byxc,cb->byx", maps, kernel[:, label])


def grad_cam(
    model: nn.Module,
    variables: PyTree,
    image: Float[Array, "b h w c"],
    label: Int[Array, " b"],
    layer: str,
) -> Float[Array, "b rows columns"]:
    """Returns the sum of a layer's channels, weighted by the score's mean gradient, if positive.

    Selvaraju et al. 2017, "Grad-CAM: visual explanations from deep networks via gradient-based
    localization" (arXiv 1610.02391), equations 1 and 2.

    Args:
      model: any classifier.
      variables: params and statistics of the model.
      image: images as the model takes them.
      label: the class to explain, for each example.
      layer: a name in `layers.survey`, of a layer with a spatial grid.

    Returns:
      The maps; negative values become 0.

    Raises:
      ConfigError: there is no such layer, or it has no spatial grid.
    """
    maps, gradient = _maps_and_gradient(model, variables, image, label, layer)
    weights = gradient.mean(axis=(1, 2), keepdims=True)
    return jax.nn.relu(jnp.sum(weights * maps, axis=-1))


def grad_cam_plus_plus(
    model: nn.Module,
    variables: PyTree,
    image: Float[Array, "b h w c"],
    label: Int[Array, " b"],
    layer: str,
) -> Float[Array, "b rows columns"]:
    """Returns the map of `grad_cam` with positive gradients only, in which regions count equally.

    Chattopadhay, Sarkar, Howlader & Balasubramanian 2018, "Grad-CAM++" (arXiv 1710.11063),
    equations 10 and 19, for the exponential of the score.
    """
    maps, gradient = _maps_and_gradient(model, variables, image, label, layer)
    below = 2 * gradient**2 + gradient**3 * maps.sum(axis=(1, 2), keepdims=True)
    alpha = jnp.where(below != 0, gradient**2 / jnp.where(below != 0, below, 1), 0)
    weights = jnp.sum(alpha * jax.nn.relu(gradient), axis=(1, 2), keepdims=True)
    return jax.nn.relu(jnp.sum(weights * maps, axis=-1))


def enlarged(maps: Float[Array, "b rows columns"], size: tuple[int, int]) -> Float[Array, "b h w"]:
    """Resizes maps bilinearly to a height and width."""
    return jax.image.resize(maps, (len(maps), *size), "bilinear")


def default_layer(model: nn.Module, variables: PyTree, image: Float[Array, "b h w c"]) -> str:
    """Returns the last layer with a spatial grid, a recorded layer if possible.

    For layers of tokens it is the last but one, because after it a class token sees no other token.

    Raises:
      ConfigError: no layer has a spatial grid.
    """
    known = layers.survey(model, variables, image)
    inside = {name: at for name, at in known.items() if layers.grid(at.shape, image.shape)}
    recorded = [name for name, at in inside.items() if at.recorded] or list(inside)
    if not recorded:
        raise ConfigError(f"no layer of {type(model).__name__} has a spatial grid")
    tokens = len(inside[recorded[-1]].shape) == 3
    return recorded[-2 if tokens and len(recorded) > 1 else -1]


def _maps_and_gradient(model, variables, image, label, layer):
    activation, rest = layers.split(model, variables, image, layer)
    gradient = jax.grad(lambda x: jnp.sum(class_score(rest(x), label)))(activation)
    shape = image.shape
    return layers.in_space(activation, shape, layer), layers.in_space(gradient, shape, layer)
