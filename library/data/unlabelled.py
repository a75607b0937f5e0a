"""Examples that lack labels, maps or objects, such as image files, completed with blank ones.

The preprocessing of a recipe selects, renames and moves all features of its dataset, also where
only the image matters.
"""

import dataclasses
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from library.data import features, folder
from library.data.features import Kinds

_COORDINATES = {"boxes": 4, "points": 2}


@dataclasses.dataclass(frozen=True)
class Completed:
    """Examples with a blank value for each missing label, target, text, map, field and object.

    Attributes:
      records: the examples: `len(records)` and `records[row] -> dict`.
      kinds: the kinds of all features of the dataset.
    """

    records: Sequence[Mapping[str, Any]]
    kinds: Kinds

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, row: int) -> dict:
        example = dict(self.records[row])
        missing = [name for name in self.kinds if name not in example]
        objects = features.named(self.kinds, *features.OBJECTS)
        belonging = {each for o in objects for each in features.companions(o, missing, self.kinds)}
        for name in missing:
            kind = self.kinds[name]
            if name in belonging:
                example[name] = np.zeros(0, np.int32)
            elif kind in _COORDINATES:
                example[name] = np.zeros((0, _COORDINATES[kind]), np.float32)
            elif kind in ("map", "field"):
                side = _height_width(example, self.kinds)
                example[name] = np.zeros(side, np.uint8 if kind == "map" else np.float32)
            elif kind in ("label", "target"):
                example[name] = np.int32(0) if kind == "label" else np.float32(0)
            elif kind == "text":
                example[name] = ""
        return example


def _height_width(example: Mapping[str, Any], kinds: Kinds) -> tuple[int, int]:
    """Returns the size of an example's image, as it is after its EXIF orientation."""
    images = features.named(kinds, "image", among=example)
    image = example[images[0]] if images else np.zeros((1, 1))
    if isinstance(image, np.ndarray):
        return image.shape[:2]
    try:
        with Image.open(io.BytesIO(image)) as picture:
            return folder.upright_size(picture)[::-1]
    except Exception:
        # The decoding says what is wrong with the file.
        return 1, 1
