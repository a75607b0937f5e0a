"""The catalogue: all networks whose published weights fit models of this project, by name."""

from library.config import ConfigError, nearest
from library.weights import (
    alexnet,
    big_transfer,
    convnext,
    darknet,
    deit,
    densenet,
    efficientnet,
    googlenet,
    inception_resnet_v1,
    inception_resnet_v2,
    inception_v2,
    inception_v3,
    inception_v4,
    mlp_mixer,
    mobilenet_v1,
    mobilenet_v2,
    mobilenet_v3,
    places365,
    resnet,
    resnet_v2,
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
    darknet,
    deit,
    densenet,
    efficientnet,
    googlenet,
    inception_resnet_v1,
    inception_resnet_v2,
    inception_v2,
    inception_v3,
    inception_v4,
    mlp_mixer,
    mobilenet_v1,
    mobilenet_v2,
    mobilenet_v3,
    places365,
    resnet,
    resnet_v2,
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
    """Returns a network by its name, with its default weights or others, such as "resnet50.v2".

    Raises:
      ConfigError: there is no network of this name, or it has no such weights.
    """
    network, dot, weights = name.partition(".")
    if network not in CATALOGUE:
        raise ConfigError(f"unknown network {network!r}: {nearest(network, CATALOGUE)}")
    found = CATALOGUE[network]
    if not dot:
        return found
    if weights not in found.weights:
        raise ConfigError(
            f"unknown weights {weights!r} of {network}: {nearest(weights, found.weights)}"
        )
    return found.with_weights(weights)


def described(name: str) -> str:
    """Returns a line about the weights that a name assumes, and the names of other weights."""
    found, network = find(name), name.partition(".")[0]
    reported, transform = found.reported, found.transform
    claim = "no accuracy is claimed"
    if reported is not None:
        top5 = "" if reported.top5 is None else f" and {reported.top5:g} % top-5"
        claim = f"{reported.top1:g} % top-1{top5} are claimed ({reported.source})"
    resized = "squashed to" if transform.squash else "resized to"
    names = [network, *(f"{network}.{other}" for other in CATALOGUE[network].weights)]
    others = ", ".join(each for each in names if each != name)
    return (
        f"weights assumed: {name}, images {resized} {transform.resize} ({transform.interpolation}) "
        f"and cut to {transform.size}; {claim}" + (f". Others: {others}" if others else "")
    )
