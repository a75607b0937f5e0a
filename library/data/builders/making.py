"""Shared functions of the builders of published datasets: descriptions, files and archives.

A builder states, as attributes of its class:

- FOLDER: its folder in the manual directory, for files that the user downloads by hand.
- FILES: the files of a packed or reduced form of the dataset, optional; read if they exist.
- ORIGIN: the published files, see library/data/origins.py. If the builder has FILES, too,
  `pack(paths, folder)` makes them from the published files.
- OPTIONAL: files that may lie beside the published ones, with what the user has to know if one
  does not. `obtain` returns those that it finds.
- SPLITS: the published number of examples of each split.
- KINDS: the kind of each feature, unless its TFDS type determines it.
- HOMEPAGE, LICENCE, CITATION: for docs/data.md.

`library/data/prepared.py` finds or downloads the files and sets them as the builder's `paths`, by
name. Variants of a dataset are `Variant`s in BUILDER_CONFIGS: "tu_graphs/mutag".
"""

import contextlib
import dataclasses
import gzip
import io
import itertools
import os
import pickle
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import UInt8
from PIL import Image
from scipy.io.matlab import MatReadError

from library.config import ConfigError
from library.data import origins
from library.data.builders import packed
from library.data.origins import Origin

# Exceptions that the readers of archives and tables raise for a damaged file.
DAMAGED = (
    *(OSError, EOFError, zlib.error, zipfile.BadZipFile, tarfile.TarError),
    *(KeyError, IndexError, ValueError, pickle.UnpicklingError, MatReadError),
)
# Exceptions that a builder raises on contents it does not expect. An OSError is not among them: it
# may come from what the builder writes.
UNEXPECTED = (AttributeError, EOFError, IndexError, KeyError, ValueError)


@dataclasses.dataclass(eq=False)
class Variant(tfds.core.BuilderConfig):
    """One of several datasets of a builder.

    Attributes:
      splits: number of examples of each split.
      origin: the published files.
      files: the files of the packed form.
      details: other values of this variant.
    """

    splits: Mapping[str, int] = dataclasses.field(default_factory=dict)
    origin: tuple[Origin, ...] = ()
    files: tuple[str, ...] = ()
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def info(builder: Any, features: Mapping[str, Any]) -> tfds.core.DatasetInfo:
    """Returns the description of a dataset, from its features and its class's attributes."""
    supervised = ("image", "label") if {"image", "label"} <= set(features) else None
    return tfds.core.DatasetInfo(
        builder=builder,
        description=type(builder).__doc__,
        features=tfds.features.FeaturesDict(features),
        supervised_keys=supervised,
        homepage=builder.HOMEPAGE,
        citation=builder.CITATION,
    )


def files(builder: Any) -> tuple[str, ...]:
    """Returns the names of a builder's packed files; empty if it has no packed form."""
    variant = getattr(builder, "builder_config", None)
    return variant.files if variant else getattr(builder, "FILES", ())


def origin(builder: Any) -> tuple[Origin, ...]:
    """Returns the published files of a builder."""
    variant = getattr(builder, "builder_config", None)
    return variant.origin if variant else getattr(builder, "ORIGIN", ())


def splits(builder: Any) -> dict[str, int]:
    """Returns the published number of examples of each split; empty if it is not stated."""
    variant = getattr(builder, "builder_config", None)
    return dict(variant.splits if variant else getattr(builder, "SPLITS", {}))


def to_bring(builder: Any, manual_dir: Path) -> list[str]:
    """Returns the names of missing files that only the user can download."""
    folders = (manual_dir / getattr(builder, "FOLDER", ""), manual_dir)
    packed_files, published = files(builder), origin(builder)
    whole = [all((folder / file).is_file() for file in packed_files) for folder in folders]
    if packed_files and any(whole):
        return []
    wanted = [each.file for each in published if each.url is None] if published else packed_files
    return [file for file in wanted if not any((folder / file).is_file() for folder in folders)]


def examples(builder: Any, found: Iterable[tuple[Any, dict]]) -> Iterator[tuple[Any, dict]]:
    """Yields the given examples of a split; TFDS needs it as a builder's `_generate_examples`."""
    yield from found


def png(pixels: UInt8[np.ndarray, "..."]) -> io.BytesIO:
    """Encodes an image of shape (h, w), (h, w, 1) or (h, w, 3) as PNG, without loss."""
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels).save(file, "PNG")
    file.seek(0)
    return file


def jpeg(image: Image.Image, quality: int, **options: Any) -> bytes:
    """Encodes an image as JPEG, with loss."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, **options)
    return file.getvalue()


def encoded(data: bytes | np.ndarray) -> io.BytesIO:
    """Returns the bytes of an encoded image as a file, in the form that TFDS takes."""
    return io.BytesIO(data if isinstance(data, bytes) else data.tobytes())


def unzipped(path: Path) -> bytes:
    """Reads a file, gzipped or not, and returns its decompressed bytes.

    Raises:
      ConfigError: the file is damaged.
    """
    return gunzip(path, path.read_bytes())


def gunzip(path: Path, data: bytes) -> bytes:
    """Decompresses the bytes of a file if they are gzipped.

    Raises:
      ConfigError: the file is damaged.
    """
    return checked(path, lambda: gzip.decompress(data)) if data[:2] == b"\x1f\x8b" else data


def checked(path: Path, read: Callable[[], Any]) -> Any:
    """Calls a reader of a file, and turns its errors into ConfigErrors.

    Raises:
      ConfigError: the file is damaged, or has another format.
    """
    with named_damage((path,), DAMAGED):
        return read()


@contextlib.contextmanager
def named_damage(
    paths: Iterable[Path], errors: tuple[type[Exception], ...] = UNEXPECTED
) -> Iterator[None]:
    """Turns what code raises on unexpected contents of files into a ConfigError.

    Args:
      paths: the files that the code reads, for the message.
      errors: what the code raises; by default what a builder's code raises on files that were read.

    Raises:
      ConfigError: the contents are damaged, or have another format.
    """
    try:
        yield
    except ConfigError:
        raise
    except errors as error:
        what = f"{type(error).__name__}: {error}"
        named = " or ".join(map(str, paths))
        raise ConfigError(f"{named} is damaged or has another format ({what})") from error


def members(path: Path, suffixes: Sequence[str] = ("",)) -> Iterator[tuple[str, bytes]]:
    """Yields the files of a zip or tar, compressed or not, in the archive's order.

    Args:
      path: path of the archive.
      suffixes: endings of the names to yield.

    Yields:
      Pairs (name within the archive, contents).

    Raises:
      ConfigError: the archive is damaged.
    """
    wanted = tuple(suffixes)
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    if name.endswith(wanted) and not name.endswith("/"):
                        yield name, archive.read(name)
        else:
            with tarfile.open(path, "r|*") as archive:
                for member in archive:
                    if member.isfile() and member.name.endswith(wanted):
                        yield member.name.removeprefix("./"), archive.extractfile(member).read()
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, tarfile.TarError) as error:
        raise ConfigError(f"{path} is not a readable archive: {error}") from error


def contents(path: Path, suffixes: Sequence[str] = ("",), top: bool = True) -> dict[str, bytes]:
    """Reads the files of an archive into memory, by name.

    Args:
      path: path of the archive.
      suffixes: endings of the names to read.
      top: whether to keep the archive's top folder in the names.

    Raises:
      ConfigError: the archive is damaged, or holds no such file.
    """
    found = dict(members(path, suffixes))
    if not found:
        raise ConfigError(f"{path} holds no file that ends in {' or '.join(suffixes)}")
    if top:
        return found
    return {str(PurePosixPath(*PurePosixPath(name).parts[1:])): x for name, x in found.items()}


def member(path: Path, held: Mapping[str, bytes], name: str) -> bytes:
    """Returns a file of an archive.

    Raises:
      ConfigError: the archive has no file of this name.
    """
    if name not in held:
        raise ConfigError(f"{path} lacks {name}; it holds {', '.join(sorted(held)[:5])}, ...")
    return held[name]


def decoded(data: bytes, mode: str = "RGB") -> Image.Image:
    """Decodes an image."""
    return Image.open(io.BytesIO(data)).convert(mode)


def pack_images(images: Sequence[bytes]) -> dict[str, np.ndarray]:
    """Packs encoded images as `data` and `offsets`, see library/data/builders/packed.py."""
    offsets = np.cumsum([0, *map(len, images)], dtype=np.int64)
    return {"data": np.frombuffer(b"".join(images), np.uint8), "offsets": offsets}


def unpack(arrays: Mapping[str, np.ndarray], prefix: str = "") -> list[bytes]:
    """Returns the encoded images of a packed npz."""
    data, offsets = arrays[f"{prefix}data"], arrays[f"{prefix}offsets"]
    return [data[a:b].tobytes() for a, b in itertools.pairwise(offsets)]


def obtain(
    builder: Any,
    manual_dir: Path,
    target: Path,
    *,
    mirror: str | None = None,
    progress: bool = True,
    say: Callable[[str], None] = print,
) -> dict[str, Path]:
    """Returns the files that a builder reads, by name: its packed files, or its published ones.

    Args:
      builder: a builder of this project.
      manual_dir: folder of files that the user downloads by hand, in the builder's FOLDER or
        beside it.
      target: folder of downloads and of the files that are packed from them.
      mirror: see `origins.fetch`.
      progress: whether to show progress bars.
      say: shows a line for each download.

    Raises:
      ConfigError: a file is missing and cannot be downloaded, or is not the published file.
    """
    packed_files, published = files(builder), origin(builder)
    folders = (manual_dir / builder.FOLDER, manual_dir)
    if packed_files:
        for folder in (*folders, target):
            if all((folder / file).is_file() for file in packed_files):
                return {file: folder / file for file in packed_files}
        if not published:
            steps = getattr(builder, "MANUAL_DOWNLOAD_INSTRUCTIONS", None)
            folder = packed.find(manual_dir, builder.FOLDER, packed_files, steps)
            return {file: folder / file for file in packed_files}
    options = dict(mirror=mirror, progress=progress, say=say)
    paths = origins.fetch(published, folders, target, **options)
    for file, consequence in getattr(builder, "OPTIONAL", {}).items():
        places = [path.with_name(file) for path in paths.values()]
        there = [place for place in places if place.is_file()]
        if there:
            paths[file] = there[0]
        else:
            say(f"warning: {file} is not in {places[0].parent}: {consequence}")
    if not packed_files:
        return paths
    target.mkdir(parents=True, exist_ok=True)
    say(f"packing {' and '.join(packed_files)} in {target}")
    with tempfile.TemporaryDirectory(dir=target, prefix=".packing-") as folder:
        with named_damage(paths.values()):
            builder.pack(paths, Path(folder))
        for file in packed_files:
            os.replace(Path(folder) / file, target / file)
    return {file: target / file for file in packed_files}
