"""Photographs of any size that a system of restoration enlarges or cleans."""

from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from library import files
from library.apps import tiles
from library.run.session import Trained

# The task's output that takes images that are damaged already.
OUTPUT = "restore"


def restored(
    trained: Trained,
    image: UInt8[np.ndarray, "h w c"],
    *,
    tile: int = 256,
    halo: int | None = None,
    ema: bool = True,
) -> UInt8[np.ndarray, "h2 w2 c"]:
    """Returns what the run makes of a damaged image, in tiles without seams.

    Args:
      trained: a run of the task `restoration`.
      image: the damaged image.
      tile: side of a tile, in pixels, without its halo.
      halo: margin of a tile, in pixels; by default the reach of the network, which is measured.
      ema: whether to use the running averages if the run has them.

    Raises:
      ConfigError: the task takes other inputs than one image, the network sees the whole image, or
        a size is out of range.
    """
    compute, side = tiles.computed(trained, OUTPUT, ema=ema), tiles.STRIDE
    shape = (1, side, side, image.shape[-1])
    scale = compute(np.zeros(shape, np.float32)).shape[1] // side
    stride = 1 if _takes_any_size(compute, image.shape[-1]) else tiles.STRIDE
    sizes = dict(tile=tile, halo=halo, stride=stride, scale=scale, ema=ema)
    made = tiles.applied(trained, image, OUTPUT, **sizes)
    return np.uint8(np.clip(made, 0, 1) * 255 + 0.5)


def _takes_any_size(compute: Callable[[np.ndarray], np.ndarray], channels: int) -> bool:
    """Returns whether a network takes images whose sides no power of 2 divides."""
    side = tiles.STRIDE + 1
    try:
        compute(np.zeros((1, side, side, channels), np.float32))
    except ValueError:
        return False
    return True


def write(image: UInt8[np.ndarray, "h w c"], folder: Path, name: str) -> Path:
    """Writes NAME.png and returns its path. Only the first of several processes writes."""
    path = folder / f"{name}.png"
    if jax.process_index():
        return path
    folder.mkdir(exist_ok=True)
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    with files.replacing(path) as partial:
        picture.save(partial, "PNG")
    return path
