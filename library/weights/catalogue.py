"""All networks whose published weights fit here, by name."""

from library.config import ConfigError, nearest
from library.weights import inception_v3, resnet
from library.weights.published import Published, Table

_FAMILIES = (resnet, inception_v3)
CATALOGUE: Table = {name: each for family in _FAMILIES for name, each in family.PUBLISHED.items()}


def find(name: str) -> Published:
    """Returns a network by its name.

    Raises:
      ConfigError: there is none of this name.
    """
    if name not in CATALOGUE:
        raise ConfigError(f"unknown network {name!r}: {nearest(name, CATALOGUE)}")
    return CATALOGUE[name]
