"""All networks whose published weights fit here, by name."""

from library.config import ConfigError, nearest
from library.weights import (
    alexnet,
    big_transfer,
    convnext,
    deit,
    densenet,
    efficientnet,
    googlenet,
    inception_resnet_v2,
    inception_v3,
    inception_v4,
    mlp_mixer,
    mobilenet_v1,
    mobilenet_v2,
    mobilenet_v3,
    resnet,
    resnext,
    senet,
    shufflenet_v1,
    shufflenet_v2,
    squeezenet,
    swin,
    vgg,
    vit,
    wide_resnet,
    xception,
)
from library.weights.published import Published, Table

_FAMILIES = (
    alexnet,
    big_transfer,
    convnext,
    deit,
    densenet,
    efficientnet,
    googlenet,
    inception_resnet_v2,
    inception_v3,
    inception_v4,
    mlp_mixer,
    mobilenet_v1,
    mobilenet_v2,
    mobilenet_v3,
    resnet,
    resnext,
    senet,
    shufflenet_v1,
    shufflenet_v2,
    squeezenet,
    swin,
    vgg,
    vit,
    wide_resnet,
    xception,
)
CATALOGUE: Table = {name: each for family in _FAMILIES for name, each in family.PUBLISHED.items()}


def find(name: str) -> Published:
    """Returns a network by its name.

    Raises:
      ConfigError: there is none of this name.
    """
    if name not in CATALOGUE:
        raise ConfigError(f"unknown network {name!r}: {nearest(name, CATALOGUE)}")
    return CATALOGUE[name]
