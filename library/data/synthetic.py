"""Images of noise, made as they are read: for measuring speed and for trying a recipe out.

A name is "synthetic/SIDExCLASSES", as in "synthetic/224x1000", with a third number for channels
other than three: "synthetic/28x10x1". Every example is a function of its split and row alone.
"""

import dataclasses
import operator
import re

import numpy as np

from library import rng
from library.config import ConfigError
from library.data import splits

SIZES = {"train": 1_000_000, "test": 10_000}
_NAME = re.compile(r"synthetic/(\d+)x(\d+)(?:x(1|3))?")


@dataclasses.dataclass(frozen=True)
class Noise:
    """Records of uint8 noise (side, side, channels), their labels counting through the classes.

    Attributes:
      side: of the square images, in pixels.
      num_classes: of the labels.
      channels: 1 or 3.
      parts: the splits, or slices of them, that the rows run through.
    """

    side: int
    num_classes: int
    channels: int
    parts: tuple[splits.Part, ...]

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


def noise(name: str, split: str) -> Noise:
    """Returns the records of a split, "train[:256]", of a name as the module describes it.

    Raises:
      ConfigError: a name or split that is not of that form, or sizes below 1.
    """
    match = _NAME.fullmatch(name)
    side, num_classes, channels = (int(n or 3) for n in match.groups()) if match else (0, 0, 0)
    if not side or not num_classes:
        raise ConfigError(
            f"unknown dataset {name!r}: write 'synthetic/224x1000', the side of the images and the "
            "number of classes, or 'synthetic/28x10x1' for one channel"
        )
    return Noise(side, num_classes, channels, splits.resolve(split, SIZES, name))
