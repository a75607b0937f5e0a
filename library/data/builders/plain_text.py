"""What the builders of texts share: one document a split, read from a gzipped file."""

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
    """Describes a data set of documents `{"text", "id"}`."""
    features = {"text": tfds.features.Text(), "id": tfds.features.Text()}
    return tfds.core.DatasetInfo(
        builder=builder,
        description=description,
        features=tfds.features.FeaturesDict(features),
        homepage=homepage,
    )


def read(path: Path, sha256: str) -> str:
    """Reads a gzipped text and checks that it is the one meant; its characters are untouched.

    Args:
      path: of the file.
      sha256: of the uncompressed bytes, so that it does not matter who compressed them.

    Raises:
      ConfigError: it cannot be read, or is another text.
    """
    try:
        data = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigError(f"{path} is not a readable gzip file: {error}") from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise ConfigError(
            f"{path} holds another text: {len(data):,} bytes of sha256 {found}, expected {sha256}; "
            "dataset.name='text' reads any text, with data_dir its path"
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
      paths: of the published files, by name.
      folder: where to write.
      names: the file to write for each published one.
      encoding: of the published files.
      gutenberg: leaves out Project Gutenberg's header and footer, and its carriage returns.
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
    """Reads the texts of a builder's FILES, checked against its SHA256, in that order."""
    folder = packed.find(manual_dir, builder.FOLDER, builder.FILES)
    return [read(folder / file, sha256) for file, sha256 in zip(builder.FILES, builder.SHA256)]


def halves(builder: Any, manual_dir: str | Path) -> dict[str, Iterator[tuple[int, dict]]]:
    """Makes the splits of a builder of one text: "train", its first 90 %, and "test", the rest."""
    (text,), (file,) = texts(builder, manual_dir), builder.FILES
    cut = text_files.cut(len(text))
    return {
        "train": document(f"{file}, characters 0 to {cut}", text[:cut]),
        "test": document(f"{file}, characters {cut} to {len(text)}", text[cut:]),
    }


def document(name: str, text: str) -> Iterator[tuple[int, dict]]:
    """Yields the one example of a split."""
    yield 0, {"text": text, "id": name}
