"""Kinds of features: what the arrays of an example are, by which they are read, moved and drawn.

| kind | one example | what is done with it |
| --- | --- | --- |
| image | uint8 `(h, w, c)` | scaled to [0, 1] on the device, normalized, augmented, drawn |
| map | an integer a pixel, `(h, w)` | moved by nearest neighbour, int32 on the device |
| field | a float a pixel, `(h, w)` or `(h, w, c)` | moved by interpolation |
| boxes | `(n, 4)` ymin, xmin, ymax, xmax, as fractions of the image | moved by coordinates |
| points | `(n, 2)` y, x, as fractions of the image | moved by coordinates |
| tokens, audio, series | `(t, ...)` | padded along t |
| label, target | a class, or numbers to predict | left as it is |
| text, id | a string | for tokenizers and messages, no part of a batch |
| array | anything | left as it is |

Objects may differ in number from example to example, until `pad_objects` pads them: then their
feature `x` has a mask `x_mask` `(n,)`, 1 for an object and 0 for padding. What is one an object,
such as the classes of `boxes`, is called `boxes_label`: it is padded and left out with them.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from library.config import ConfigError, nearest

Kinds = Mapping[str, str]

KINDS = (
    *("image", "map", "field", "boxes", "points", "tokens", "text", "audio", "series"),
    *("label", "target", "id", "array"),
)
RASTERS = ("image", "map", "field")
OBJECTS = ("boxes", "points")
STRINGS = ("text", "id")
# What each example of a batch has beside its features: its place.
PLACE = ("index", "row", "mask")
# A pixel of a map that has no class, such as one from outside of the image.
UNKNOWN = 255
# A box that is narrower, as a share of the image, is what rounding has left of one outside of it.
SLIVER = 1e-5
# What a feature is where nobody says: one that is named after a kind is of that kind.
USUAL: Kinds = dict(zip(KINDS, KINDS))


def check(kinds: Kinds, where: str) -> dict[str, str]:
    """Returns the kinds of a source's features.

    Raises:
      ConfigError: a kind that there is not, or a name that a batch needs for something else.
    """
    for name, kind in kinds.items():
        if name in PLACE:
            raise ConfigError(
                f"{where}: a feature cannot be called {name!r}, which every batch has of its own "
                f"({', '.join(PLACE)}): choose another name, such as 'map' for a class a pixel"
            )
        if kind not in KINDS:
            raise ConfigError(f"{where}: unknown kind {kind!r} of {name!r}: {nearest(kind, KINDS)}")
    return dict(kinds)


def of(names: Iterable[str], kinds: Kinds = USUAL) -> dict[str, str]:
    """Returns the kind of each of the named features; of those that `kinds` lacks, the usual."""
    return {name: kinds.get(name) or USUAL.get(name, "array") for name in names}


def named(kinds: Kinds, *wanted: str, among: Iterable[str] | None = None) -> list[str]:
    """Lists the features of some kinds, in the order of the kinds.

    Args:
      kinds: by name.
      *wanted: the kinds to list.
      among: the names to choose from, such as an example's; by default all.
    """
    held = kinds if among is None else set(among)
    return [name for kind in wanted for name, k in kinds.items() if k == kind and name in held]


def companions(name: str, names: Iterable[str]) -> list[str]:
    """Lists what is one an object of the feature `name`: `boxes_label`, `boxes_mask`, ..."""
    return [other for other in names if other.startswith(f"{name}_")]


def making(operation: Any, **kinds: str) -> Any:
    """Says of an operation of what kind the features are that it makes, and returns it.

    Args:
      operation: a function object that takes attributes, such as a `functools.partial`.
      **kinds: by the name of the feature.
    """
    operation.makes = kinds
    return operation


def after(operation: Any, kinds: Kinds) -> dict[str, str]:
    """Returns the kinds of features after an operation, given those before it."""
    return {**kinds, **getattr(operation, "makes", {})}
