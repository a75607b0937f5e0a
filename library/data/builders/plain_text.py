"""Shared functions of the builders of texts: one document in each split, from a gzipped file."""

import gzip
import hashlib
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from library.config import ConfigError
from library.data import text_files
from library.data.builders import packed


def info(builder: Any, description: str, homepage: str) -> tfds.core.DatasetInfo:
    """Returns the description of a dataset of documents `{"text", "id"}`."""
    features = {"text": tfds.features.Text(), "id": tfds.features.Text()}
    return tfds.core.DatasetInfo(
        builder=builder,
        description=description,
        features=tfds.features.FeaturesDict(features),
        homepage=homepage,
    )


def read(path: Path, sha256: str) -> str:
    """Reads a gzipped text, without changes, and checks that it is the expected one.

    Args:
      path: path of the file.
      sha256: SHA-256 of the uncompressed bytes, so that the compression does not matter.

    Raises:
      ConfigError: the file cannot be read, or holds another text.
    """
    try:
        data = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigError(f"{path} is not a readable gzip file: {error}") from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise ConfigError(
            f"{path} holds another text: {len(data):,} bytes of sha256 {found}, expected {sha256}; "
            "to read any text, set dataset.name='text' and dataset.data_dir to its path"
        )
    return data.decode("utf-8")


def pack(
    paths: Mapping[str, Path],
    folder: Path,
    names: Mapping[str, str],
    encoding: str = "utf-8-sig",
    gutenberg: bool = False,
) -> None:
    """Writes the gzipped texts that builders read, in UTF-8.

    Args:
      paths: paths of the published files, by name.
      folder: folder to write to.
      names: name of the published file -> name of the file to write.
      encoding: encoding of the published files.
      gutenberg: whether to leave out Project Gutenberg's header, footer and carriage returns.
    """
    for published, file in names.items():
        text = paths[published].read_bytes().decode(encoding)
        if gutenberg:
            text = text.replace("\r\n", "\n")
            header = re.search(r"\*\*\* START OF .*\*\*\*\n", text)
            footer = re.search(r"\*\*\* END OF .*", text)
            first, last = header.end() if header else 0, footer.start() if footer else len(text)
            text = text[first:last].strip("\n") + "\n"
        (folder / file).write_bytes(gzip.compress(text.encode("utf-8"), mtime=0))


def texts(builder: Any, manual_dir: str | Path) -> list[str]:
    """Reads the texts of a builder's FILES, in order, and checks them against its SHA256."""
    folder = packed.find(manual_dir, builder.FOLDER, builder.FILES)
    return [read(folder / file, sha256) for file, sha256 in zip(builder.FILES, builder.SHA256)]


def halves(builder: Any, manual_dir: str | Path) -> dict[str, Iterator[tuple[int, dict]]]:
    """Splits the text of a builder: "train" is the first 90 %, and "test" is the rest."""
    (text,), (file,) = texts(builder, manual_dir), builder.FILES
    cut = text_files.cut(len(text))
    return {
        "train": document(f"{file}, characters 0 to {cut}", text[:cut]),
        "test": document(f"{file}, characters {cut} to {len(text)}", text[cut:]),
    }


def document(name: str, text: str) -> Iterator[tuple[int, dict]]:
    """Yields the single example of a split."""
    yield 0, {"text": text, "id": name}
