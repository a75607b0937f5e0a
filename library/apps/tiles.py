"""Outputs of a trained system for images of any size, computed in tiles (library/tiling.py)."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from library import task, tiling
from library.config import ConfigError, check_choice
from library.data import folder, preprocessing
from library.data.preprocessing import CorruptExample
from library.run.session import Trained

# All networks here for images halve them at most five times.
STRIDE = 32


def tiler(
    trained: Trained,
    output: str,
    *,
    tile: int,
    halo: int | None = None,
    stride: int = STRIDE,
    scale: int = 1,
    probe: str | None = None,
    ema: bool = True,
) -> Callable[[np.ndarray], np.ndarray]:
    """Returns an output of the run's task as a function of one image, in tiles without seams.

    The image is uint8 (h, w, c), an array or a `numpy.memmap`. The function serves images of any
    size: the reach is measured once, and tiles of one shape share a program.

    Args:
      trained: the run.
      output: the task's output, `(b, h, w, c) -> (b, scale * h, scale * w, ...)`.
      tile: side of a tile, in pixels, without its halo.
      halo: margin of a tile, in pixels; by default the reach of the network, which is measured. If
        the task has a `margin`, because the network does not pad, that is the halo.
      stride: a multiple of the network's stride.
      scale: pixels of the output for each pixel of the image, along each axis.
      probe: the output, floats, whose reach is measured; by default `output`.
      ema: whether to use the running averages if the run has them.

    Raises:
      ConfigError: there is no such output, the task takes other inputs than one image, or as
        `tiling.reach`; when the function is called, as `tiling.tiled`.
    """
    compute = computed(trained, output, ema=ema)
    margin = trained.plan.recipe.task.get("margin", 0)
    if margin and halo not in (None, margin):
        raise ConfigError(
            f"halo={halo}: a network that does not pad has that of its task, {margin}"
        )
    halo = margin or halo
    if halo is None:
        measured = compute if probe is None else computed(trained, probe, ema=ema)
        halo = tiling.reach(measured, channels(trained), stride, scale)
    size = trained.plan.strategy.batch_shards
    shape = dict(tile=tile, halo=halo, scale=scale, multiple=stride, batch_size=size)
    return lambda image: tiling.tiled(compute, image, **shape, valid=margin > 0)


def computed(trained: Trained, output: str, *, ema: bool = True) -> Callable[..., np.ndarray]:
    """Returns an output of the run's task as a function of images (n, h, w, c), uint8 or floats.

    The images are normalized as those of an evaluation.

    Raises:
      ConfigError: there is no such output, or the task takes other inputs than one image.
    """
    plan = trained.plan
    check_choice("output", output, plan.task.outputs)
    inputs = plan.recipe.task.get("inputs") or ["image"]
    if len(inputs) != 1 or plan.loader.kinds.get(inputs[0], "image") != "image":
        raise ConfigError(f"tiles are parts of one image, but the task takes {', '.join(inputs)}")

    def run(state, batch, key):
        return {"made": plan.task.outputs[output](state, batch, key)}

    collect = trained.feed.context().collect(run)
    state, strategy = task.learnt(trained.state, averages=ema), plan.strategy

    def compute(images: np.ndarray) -> np.ndarray:
        count = len(images)
        whole = np.concatenate([images, *[images[-1:]] * (-count % strategy.batch_shards)])
        order = np.arange(len(whole), dtype=np.uint32)
        places = {"index": order, "row": order, "mask": np.ones(len(whole), np.float32)}
        own = strategy.places(len(whole))
        batch = {inputs[0]: whole, **places}
        found = collect(state, strategy.put({name: x[own] for name, x in batch.items()}))
        return found["made"][:count]

    return compute


def channels(trained: Trained) -> int:
    """Returns the channels of the images that the run takes."""
    return trained.plan.loader.blank[_input(trained)].shape[-1]


def each_decoded(
    trained: Trained, paths: Sequence[Path], warn: Callable[[str], None] = print
) -> Iterator[tuple[str, np.ndarray]]:
    """Yields image files at their own size, uint8 (h, w, c), with the names for their results.

    Memory holds one image at a time; it has at most `preprocessing.MAX_PIXELS` pixels. A name is
    that of the file without its suffix; of files with the same name it has a number.

    Args:
      trained: the run.
      paths: image files, and directories of them.
      warn: shows a line on what was skipped in the directories.

    Raises:
      ConfigError: a file does not exist. When its turn comes: a file cannot be read, is not an
        image, or is too large.
    """
    found, notes = folder.image_files(paths)
    for note in notes:
        warn(note)
    return _each_decoded(found, channels(trained))


def _each_decoded(paths: Sequence[Path], channels: int) -> Iterator[tuple[str, np.ndarray]]:
    decode = preprocessing.decode(channels=channels, exif_orientation=True)
    used = set()
    for path in paths:
        try:
            image = decode({"image": Path(path).read_bytes()}, np.random.default_rng(0))["image"]
        except CorruptExample as error:
            raise ConfigError(f"{path}: {error}") from error
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from error
        stem = Path(path).stem
        names = itertools.chain([stem], (f"{stem}_{number}" for number in itertools.count(2)))
        used.add(name := next(name for name in names if name not in used))
        yield name, image


def _input(trained: Trained) -> str:
    return (trained.plan.recipe.task.get("inputs") or ["image"])[0]
