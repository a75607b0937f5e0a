"""Noise images, generated on access: for measuring speed and for trying out a recipe.

A name is "synthetic/SIDExCLASSES", such as "synthetic/224x1000". A third number gives the channels,
1 or 3 (the default): "synthetic/28x10x1". Every example depends only on its split and row.
"synthetic/adding600" and "synthetic/copying1000" are problems of `library.data.series_problems`.
"""

import dataclasses
import operator
import re
from typing import Any, ClassVar

import numpy as np

from library import rng
from library.config import ConfigError
from library.data import series_problems, splits

SIZES = {"train": 1_000_000, "test": 10_000}
_NAME = re.compile(r"synthetic/(\d+)x(\d+)(?:x(1|3))?")


@dataclasses.dataclass(frozen=True)
class Noise:
    """Examples of uint8 noise `(side, side, channels)`; labels cycle through the classes.

    Attributes:
      side: side of the square images, in pixels.
      num_classes: the number of classes.
      channels: 1 or 3.
      parts: the splits, or slices of splits, whose examples the rows address in order.
    """

    side: int
    num_classes: int
    channels: int
    parts: tuple[splits.Part, ...]
    kinds: ClassVar[dict[str, str]] = {"image": "image", "label": "label"}

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of the classes: their numbers."""
        return tuple(map(str, range(self.num_classes)))

    def __len__(self) -> int:
        return sum(stop - start for _, start, stop in self.parts)

    def __getitem__(self, row: int) -> dict:
        row = operator.index(row)
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        split, index = splits.locate(self.parts, row)
        generator = rng.host_generator(0, "noise", index, list(SIZES).index(split))
        shape = (self.side, self.side, self.channels)
        image = generator.integers(0, 256, shape, dtype=np.uint8)
        return {"image": image, "label": np.int32(index % self.num_classes)}


def examples(name: str, split: str) -> Any:
    """Returns the examples of a split of noise or of a problem; errors are those of `noise`."""
    problem = series_problems.find(name, split, SIZES)
    return noise(name, split) if problem is None else problem


def noise(name: str, split: str) -> Noise:
    """Returns the examples of a split, such as "train[:256]", of a synthetic dataset.

    Raises:
      ConfigError: the name or the split is malformed, or a size is below 1.
    """
    match = _NAME.fullmatch(name)
    side, num_classes, channels = (int(n or 3) for n in match.groups()) if match else (0, 0, 0)
    if not side or not num_classes:
        raise ConfigError(
            f"unknown dataset {name!r}: write 'synthetic/224x1000' (side of the images, number of "
            "classes), 'synthetic/28x10x1' (one channel), 'synthetic/adding600' or "
            "'synthetic/copying1000' (steps)"
        )
    return Noise(side, num_classes, channels, splits.resolve(split, SIZES, name))
