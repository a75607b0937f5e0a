"""Photographs of any size that a system of restoration enlarges or cleans."""

from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from library import files
from library.apps import tiles
from library.config import ConfigError
from library.run.session import Trained

# The task's output that takes images that are damaged already.
OUTPUT = "restore"


def restorer(
    trained: Trained, *, tile: int = 256, halo: int | None = None, ema: bool = True
) -> Callable[[UInt8[np.ndarray, "h w c"]], UInt8[np.ndarray, "h2 w2 c"]]:
    """Returns a function of one damaged image: what the run makes of it, in tiles without seams.

    Args:
      trained: a run of the task `restoration`.
      tile: side of a tile, in pixels, without its halo.
      halo: margin of a tile, in pixels; by default the reach of the network, which is measured.
      ema: whether to use the running averages if the run has them.

    Raises:
      ConfigError: the task fills holes or takes other inputs than one image, the network sees the
        whole image, or a size is out of range.
    """
    if (trained.plan.recipe.task.get("degradation") or {}).get("name") == "erase":
        raise ConfigError(
            "degradation 'erase': this run fills holes, and an image file does not say where: use "
            "--split=test"
        )
    compute, side = tiles.computed(trained, OUTPUT, ema=ema), tiles.STRIDE
    channels = tiles.channels(trained)
    scale = compute(np.zeros((1, side, side, channels), np.float32)).shape[1] // side
    stride = 1 if _takes_any_size(compute, channels) else tiles.STRIDE
    sizes = dict(tile=tile, halo=halo, stride=stride, scale=scale, ema=ema)
    made = tiles.tiler(trained, OUTPUT, **sizes)
    return lambda image: np.uint8(np.clip(made(image), 0, 1) * 255 + 0.5)


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
