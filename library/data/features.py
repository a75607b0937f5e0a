"""Kinds of features: the kind of an array decides how it is read, transformed and plotted.

| kind | shape in one example | treatment |
| --- | --- | --- |
| image | uint8 `(h, w, c)` | scaled to [0, 1] on the device, normalized, augmented, plotted |
| clip | uint8 `(t, h, w, c)`, frames | as an image; geometry moves all frames alike |
| map | an integer per pixel, `(h, w)` | moved by nearest neighbour, int32 on the device |
| field | a float per pixel, `(h, w)` or `(h, w, c)` | moved by interpolation |
| boxes | `(n, 4)` ymin, xmin, ymax, xmax, as fractions of the image | coordinates are moved |
| points | `(n, 2)` y, x, as fractions of the image | coordinates are moved |
| tokens, audio, series | `(t, ...)` | padded along t |
| label, target | a class, or numbers to predict | unchanged |
| text, id | a string | for tokenizers and messages, not part of a batch |
| array | anything | unchanged |

The number of objects (boxes or points) may vary between examples until `pad_objects` pads them.
Then the feature `x` has a mask `x_mask` `(n,)`, 1 for an object and 0 for padding. A feature with
one entry per object, such as the classes of `boxes`, is called `boxes_label`. It is padded and
removed together with the objects. If `boxes_small` are objects of their own, `boxes_small_label`
belongs to these.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from library.config import ConfigError, nearest

Kinds = Mapping[str, str]

KINDS = (
    *("image", "map", "field", "boxes", "points", "tokens", "text", "audio", "series"),
    *("label", "target", "id", "array", "clip"),
)
RASTERS = ("image", "map", "field", "clip")
# Kinds of pixels: they are scaled, normalized and changed in colour.
PICTURES = ("image", "clip")
OBJECTS = ("boxes", "points")
STRINGS = ("text", "id")
# Names that every example of a batch has in addition to its features.
PLACE = ("index", "row", "mask")
# A box of this width or less, as a fraction of the image, is a rounding error of a box outside it.
SLIVER = 1e-5
# The default kinds: a feature that is named after a kind has that kind.
USUAL: Kinds = dict(zip(KINDS, KINDS))


def check(kinds: Kinds, where: str) -> dict[str, str]:
    """Checks the kinds of a source's features and returns them as a dict.

    Raises:
      ConfigError: a kind is unknown, or a name is reserved for batches.
    """
    for name, kind in kinds.items():
        if name in PLACE:
            raise ConfigError(
                f"{where}: a feature cannot be called {name!r}, which is reserved for batches "
                f"({', '.join(PLACE)}): choose another name, such as 'map' for a class per pixel"
            )
        if kind not in KINDS:
            raise ConfigError(f"{where}: unknown kind {kind!r} of {name!r}: {nearest(kind, KINDS)}")
    return dict(kinds)


def of(names: Iterable[str], kinds: Kinds = USUAL) -> dict[str, str]:
    """Returns the kind of each feature in `names`: from `kinds`, else from USUAL, else "array"."""
    return {name: kinds.get(name) or USUAL.get(name, "array") for name in names}


def named(kinds: Kinds, *wanted: str, among: Iterable[str] | None = None) -> list[str]:
    """Lists the names of the features of some kinds, in the order of `wanted`.

    Args:
      kinds: the kinds of the features by name.
      *wanted: the kinds to list.
      among: the names to choose from, such as those of an example; by default all.
    """
    held = kinds if among is None else set(among)
    return [name for kind in wanted for name, k in kinds.items() if k == kind and name in held]


def companions(name: str, names: Iterable[str], kinds: Kinds) -> list[str]:
    """Lists the features with one entry per object of `name`: `boxes_label`, `boxes_mask`, ...

    Args:
      name: a feature of boxes or points.
      names: the names to choose from.
      kinds: the kinds of the features by name. Images, maps, fields, other objects and what belongs
        to these have entries of their own.
    """
    apart = [other for other in named(kinds, *OBJECTS, *RASTERS) if other.startswith(f"{name}_")]
    return [
        other
        for other in names
        if other.startswith(f"{name}_")
        and not any(other == each or other.startswith(f"{each}_") for each in apart)
    ]


def making(operation: Any, **kinds: str) -> Any:
    """Declares the kinds of the features that an operation makes, and returns the operation.

    Args:
      operation: a function object that accepts attributes, such as a `functools.partial`.
      **kinds: the kinds by feature name.
    """
    operation.makes = kinds
    return operation


def after(operation: Any, kinds: Kinds) -> dict[str, str]:
    """Returns the kinds of the features after an operation, given the kinds before it."""
    return {**kinds, **getattr(operation, "makes", {})}
