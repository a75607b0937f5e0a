"""Maps of classes as picture files: the numbers of the classes, and their colours over an image."""

from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

from library import files, painting
from library.config import ConfigError

# A map is painted so many rows at a time: it may be larger than the device's memory.
_ROWS = 256


def write(
    image: UInt8[np.ndarray, "h w c"],
    classes: Int[np.ndarray, "h w"],
    label_names: Sequence[str] | None,
    folder: Path,
    name: str,
) -> list[Path]:
    """Writes NAME_prediction.png, a palette picture, and NAME_overlay.png; returns their paths.

    The pixels of the first are the numbers of the classes, so it is a map that can be read again.
    Only the first of several processes writes.

    Raises:
      ConfigError: there are more than 256 classes.
    """
    num = len(label_names) if label_names else int(classes.max()) + 1
    if num > 256:
        raise ConfigError(f"a palette has 256 colours, but there are {num} classes")
    paths = [folder / f"{name}_{what}.png" for what in ("prediction", "overlay")]
    if jax.process_index():
        return paths
    folder.mkdir(exist_ok=True)
    numbered = Image.fromarray(classes.astype(np.uint8))
    # A picture with a palette keeps its numbers.
    numbered.putpalette(painting.colours(num).tobytes())
    for path, picture in zip(paths, (numbered, Image.fromarray(_overlaid(image, classes, num)))):
        with files.replacing(path) as partial:
            picture.save(partial, "PNG")
    return paths


def _overlaid(image: np.ndarray, classes: np.ndarray, num: int) -> UInt8[np.ndarray, "h w 3"]:
    parts = [slice(row, row + _ROWS) for row in range(0, len(image), _ROWS)]
    shown = [painting.overlaid(image[p] / np.float32(255), classes[p], num) for p in parts]
    return np.concatenate([np.asarray(part) for part in shown])
