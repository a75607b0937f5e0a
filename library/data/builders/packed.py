"""Files of a manual directory, and npz files that hold many encoded images.

In a packed npz, `data[offsets[i]:offsets[i + 1]]` is the file of image i (JPEG or PNG bytes), and
`labels[i]` is its class.
"""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8

from library.config import ConfigError


def find(
    manual_dir: str | Path, folder: str, files: Sequence[str], steps: str | None = None
) -> Path:
    """Returns the directory that holds `files`: `manual_dir/folder`, or `manual_dir` itself.

    Args:
      manual_dir: the directory of files that the user brings.
      folder: the dataset's folder in it.
      files: the names of the files.
      steps: how the user gets the files, for the message; None if there is nothing to say.

    Raises:
      ConfigError: neither directory holds all files.
    """
    manual_dir = Path(manual_dir).expanduser()
    candidates = (manual_dir / folder, manual_dir)
    for candidate in candidates:
        if all((candidate / file).is_file() for file in files):
            return candidate
    raise ConfigError(
        f"{' and '.join(files)} not found in {candidates[0]} or {candidates[1]}: "
        "put the missing files there, or name their directory with --manual_dir"
        + (f". To get them: {steps}" if steps else "")
    )


def load(path: Path, keys: Sequence[str]) -> dict[str, np.ndarray]:
    """Reads the named arrays of an npz file.

    Raises:
      ConfigError: the file is not a readable npz, or lacks one of `keys`.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [key for key in keys if key not in file.files]
            if missing:
                raise ConfigError(f"{path} holds {sorted(file.files)}, not {missing}")
            return {key: file[key] for key in keys}
    except (OSError, EOFError, zipfile.BadZipFile, zipfile.LargeZipFile) as error:
        raise ConfigError(f"{path} is not a readable npz file: {error}") from error
    except ValueError as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{path} is not a readable npz file: {error}") from error


def load_digits(path: Path) -> dict[str, tuple[UInt8[np.ndarray, "n 28 28"], np.ndarray]]:
    """Reads the images and the classes of MNIST's splits, train and test, from its npz.

    Raises:
      ConfigError: the file cannot be read, an image is not uint8 (28, 28), a label is out of range,
        or arrays have different lengths.
    """
    arrays, found = load(path, ("x_train", "y_train", "x_test", "y_test")), {}
    for split in ("train", "test"):
        images, labels = arrays[f"x_{split}"], arrays[f"y_{split}"]
        if images.dtype != np.uint8 or images.shape[1:] != (28, 28):
            raise ConfigError(
                f"{path}: images are {images.dtype} {images.shape}, expected uint8 (n, 28, 28)"
            )
        check_labels(path, labels, len(images), num_classes=10)
        found[split] = (images, labels)
    return found


def load_packed(path: Path, num_classes: int, extra: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Reads and checks a packed npz: data, offsets, labels and the `extra` arrays.

    Raises:
      ConfigError: the file cannot be read, its offsets do not fit `data`, a label is out of range,
        or arrays have different lengths.
    """
    arrays = load(path, ("data", "offsets", "labels", *extra))
    check_offsets(path, arrays["data"], arrays["offsets"])
    num_images = len(arrays["offsets"]) - 1
    check_labels(path, arrays["labels"], num_images, num_classes)
    for key in extra:
        if len(arrays[key]) != num_images:
            raise ConfigError(f"{path}: {key} has {len(arrays[key])} rows for {num_images} images")
    return arrays


def check_offsets(path: Path, data: UInt8[np.ndarray, " n"], offsets: Int[np.ndarray, " i"]):
    """Raises ConfigError unless `offsets` divides all of `data` into files of at least one byte."""
    whole = len(offsets) >= 2 and offsets[0] == 0 and offsets[-1] == len(data)
    if not whole or (np.diff(offsets) <= 0).any():
        raise ConfigError(
            f"{path}: offsets must rise from 0 to {len(data)}, the length of data; "
            f"got {len(offsets)} of them, {offsets[:1]} to {offsets[-1:]}"
        )


def check_labels(path: str | Path, labels: np.ndarray, num_images: int, num_classes: int):
    """Raises ConfigError unless there is one label in 0..num_classes-1 for each image."""
    if labels.shape != (num_images,):
        raise ConfigError(f"{path}: labels of shape {labels.shape} for {num_images} images")
    wrong = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if wrong.size:
        raise ConfigError(
            f"{path}: label {labels[wrong[0]]} of image {wrong[0]} "
            f"is out of range (valid: 0 to {num_classes - 1})"
        )
