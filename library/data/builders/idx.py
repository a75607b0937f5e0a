"""The format of MNIST's files: an array of bytes behind a header of its shape, gzipped."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from library.config import ConfigError
from library.data.builders import making, packed

SPLITS = {"train": "train", "test": "t10k"}


def read(path: Path, data: bytes | None = None) -> UInt8[np.ndarray, "..."]:
    """Reads an array of bytes.

    Args:
      path: of the file, gzipped or not.
      data: its contents, where it lies in an archive.

    Raises:
      ConfigError: it is damaged, or is no such file.
    """
    data = making.unzipped(path) if data is None else data
    axes = data[3] if data[:3] == b"\x00\x00\x08" and len(data) > 3 else 0
    shape = np.frombuffer(data[4 : 4 + 4 * axes], ">u4").tolist()
    if not axes or len(shape) != axes or len(data) != 4 + 4 * axes + math.prod(shape):
        raise ConfigError(f"{path} is no idx file of bytes: {len(data):,} bytes, {data[:4]!r} ...")
    return np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(shape)


def pairs(
    path: Path,
    images: UInt8[np.ndarray, "n 28 28"],
    labels: UInt8[np.ndarray, " n"],
    num_classes: int,
) -> Iterator[tuple[int, dict]]:
    """Yields the images as PNG with their labels, by their place in the file.

    Raises:
      ConfigError: images that are not 28x28, or labels out of range.
    """
    if images.shape[1:] != (28, 28):
        raise ConfigError(f"{path}: images of shape {images.shape}, expected (n, 28, 28)")
    packed.check_labels(path, labels, len(images), num_classes)
    for row, (pixels, label) in enumerate(zip(images, labels)):
        yield row, {"image": making.png(pixels), "label": int(label)}


def splits(paths: Mapping[str, Path], num_classes: int) -> dict[str, Iterator[tuple[int, dict]]]:
    """Reads both splits of MNIST or of a set that is published as it is."""
    found = {}
    for split, prefix in SPLITS.items():
        path = paths[f"{prefix}-images-idx3-ubyte.gz"]
        labels = read(paths[f"{prefix}-labels-idx1-ubyte.gz"])
        found[split] = pairs(path, read(path), labels, num_classes)
    return found
