"""The idx format of MNIST's files: a header with a shape and an array of bytes, gzipped."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from library.config import ConfigError
from library.data.builders import making, packed

SPLITS = {"train": "train", "test": "t10k"}


def read(path: Path, data: bytes | None = None) -> UInt8[np.ndarray, "..."]:
    """Reads an array of bytes from an idx file.

    Args:
      path: path of the file, gzipped or not; for messages if `data` is given.
      data: contents of the file, if it is in an archive.

    Raises:
      ConfigError: the file is damaged, or has another format.
    """
    data = making.unzipped(path) if data is None else data
    axes = data[3] if data[:3] == b"\x00\x00\x08" and len(data) > 3 else 0
    shape = np.frombuffer(data[4 : 4 + 4 * axes], ">u4").tolist()
    if not axes or len(shape) != axes or len(data) != 4 + 4 * axes + math.prod(shape):
        raise ConfigError(
            f"{path} is not an idx file of bytes: {len(data):,} bytes, {data[:4]!r} ..."
        )
    return np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(shape)


def pairs(
    path: Path,
    images: UInt8[np.ndarray, "n 28 28"],
    labels: UInt8[np.ndarray, " n"],
    num_classes: int,
) -> Iterator[tuple[int, dict]]:
    """Yields pairs (place in the file, PNG image with its label).

    Raises:
      ConfigError: the images are not 28x28, or a label is out of range.
    """
    if images.shape[1:] != (28, 28):
        raise ConfigError(f"{path}: images of shape {images.shape}, expected (n, 28, 28)")
    packed.check_labels(path, labels, len(images), num_classes)
    for row, (pixels, label) in enumerate(zip(images, labels)):
        yield row, {"image": making.png(pixels), "label": int(label)}


def splits(paths: Mapping[str, Path], num_classes: int) -> dict[str, Iterator[tuple[int, dict]]]:
    """Reads both splits of MNIST, or of another dataset with the same files."""
    found = {}
    for split, prefix in SPLITS.items():
        path = paths[f"{prefix}-images-idx3-ubyte.gz"]
        labels = read(paths[f"{prefix}-labels-idx1-ubyte.gz"])
        found[split] = pairs(path, read(path), labels, num_classes)
    return found
