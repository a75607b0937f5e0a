"""The methods of `explain` that make a map of an image, and how each map is drawn."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Array

from library.apps.explain import attention_rollout, class_activation, drawing, gradients, rectifiers
from library.apps.explain.occlusion import occlusion
from library.config import ConfigError


class Method(NamedTuple):
    """A method that explains an image by a map.

    Attributes:
      title: title of the column.
      caption: text that describes the map and names its authors; {layer} is the layer's name.
      draw: `(images, maps)`, uint8 and float -> uint8 images.
      compute: `(network, pixels, ...)` -> maps; it takes by name those of `label`, `keys` and
        `layer` that it reads.
      compiled: whether `compute` can be compiled; a function that compares values cannot.
    """

    title: str
    caption: str
    draw: Callable[[np.ndarray, np.ndarray], np.ndarray]
    compute: Callable[..., Array]
    compiled: bool = True


def _gradient(network, pixels, *, label):
    return gradients.magnitude(gradients.input_gradient(network.logits, pixels, label))


def _gradient_times_input(network, pixels, *, label):
    return gradients.gradient_times_input(network.logits, pixels, label).sum(axis=-1)


def _smooth_grad(network, pixels, *, label, keys):
    return gradients.magnitude(gradients.smooth_grad(network.logits, pixels, label, keys))


def _integrated(network, pixels, *, label):
    return gradients.integrated_gradients(network.logits, pixels, label).sum(axis=-1)


def _guided(network, pixels, *, label):
    return rectifiers.guided_backpropagation(network.logits, pixels, label)


def _deconvnet(network, pixels, *, label):
    return rectifiers.deconvnet(network.logits, pixels, label)


def _occlusion(network, pixels, *, label):
    size = max(1, min(pixels.shape[1:3]) // 4)
    return occlusion(network.logits, pixels, label, size=size, stride=max(1, size // 2))


def _rollout(network, pixels):
    image = network.normalize(pixels)
    found = attention_rollout.attention_map(network.model, network.variables, image)
    return class_activation.enlarged(found, pixels.shape[1:3])


def _activation(function):
    def compute(network, pixels, *, label, layer):
        if layer is None:
            raise ConfigError(f"no layer of {type(network.model).__name__} has a spatial grid")
        image = network.normalize(pixels)
        found = function(network.model, network.variables, image, label, layer)
        return class_activation.enlarged(found, pixels.shape[1:3])

    return compute


def _strength(images, found):
    return drawing.strength(found)


def _signed(images, found):
    return drawing.signed(found)


def _colours(images, found):
    return drawing.around_grey(found)


def _above_the_least(images, found):
    # The shortcuts alone give each patch a share, which would hide the differences.
    return drawing.laid_over(images, found - found.min(axis=(1, 2), keepdims=True))


def _heat(images, found):
    return drawing.laid_over(images, np.maximum(found, 0))


METHODS = {
    "gradient": Method(
        "gradient",
        "Gradient (Simonyan et al. 2014): the darker, the more the score of the class moves with "
        "the pixel, up or down.",
        _strength,
        _gradient,
    ),
    "gradient_times_input": Method(
        "gradient\nx input",
        "Gradient times input: red speaks for the class, blue against it, black pixels never do.",
        _signed,
        _gradient_times_input,
    ),
    "smoothgrad": Method(
        "SmoothGrad",
        "SmoothGrad (Smilkov et al. 2017): the mean gradient over noisy copies of the image.",
        _strength,
        _smooth_grad,
    ),
    "integrated": Method(
        "integrated\ngradients",
        "Integrated gradients (Sundararajan et al. 2017), from a black image: red speaks for the "
        "class, blue against it; together they make up the score.",
        _signed,
        _integrated,
    ),
    "guided": Method(
        "guided\nbackprop.",
        "Guided backpropagation (Springenberg et al. 2015): changes that would raise the score, "
        "along paths whose signals are positive.",
        _colours,
        _guided,
    ),
    "deconvnet": Method(
        "deconvnet",
        "Deconvolutional network (Zeiler & Fergus 2014): the score, projected back to pixels; in a "
        "network without max pooling the map hardly depends on the image.",
        _colours,
        _deconvnet,
    ),
    "cam": Method(
        "CAM",
        "Class activation map (Zhou et al. 2016) of layer {layer}: where it speaks for the class.",
        _heat,
        _activation(class_activation.cam),
        compiled=False,
    ),
    "grad_cam": Method(
        "Grad-CAM",
        "Grad-CAM (Selvaraju et al. 2017) of layer {layer}: where it speaks for the class.",
        _heat,
        _activation(class_activation.grad_cam),
    ),
    "grad_cam_plus_plus": Method(
        "Grad-CAM++",
        "Grad-CAM++ (Chattopadhay et al. 2018) of layer {layer}.",
        _heat,
        _activation(class_activation.grad_cam_plus_plus),
    ),
    "occlusion": Method(
        "occlusion",
        "Occlusion (Zeiler & Fergus 2014): a grey patch, a quarter of the image wide, hides each "
        "place; red where the score then falls, blue where it rises.",
        _signed,
        _occlusion,
    ),
    "rollout": Method(
        "attention\nrollout",
        "Attention rollout (Abnar & Zuidema 2020): the share of each patch that reaches the last "
        "layer, for any class.",
        _above_the_least,
        _rollout,
    ),
}
DEFAULT = (
    "gradient",
    "smoothgrad",
    "integrated",
    "guided",
    "deconvnet",
    "grad_cam",
    "occlusion",
    "rollout",
)
