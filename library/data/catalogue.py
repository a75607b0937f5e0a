"""The table of this project's datasets: contents, files, licence and source of each."""

import importlib
import pkgutil
import urllib.parse
from collections.abc import Sequence
from typing import Any, NamedTuple

from library.data import builders
from library.data.origins import Origin

_HEAD = """# Datasets

`python -m experiments.prepare --dataset=NAME` prepares a dataset for reading. It uses the files in
`--manual_dir` (by default `$COMPENDIUM_DATA`, or `data` in the working directory) and in the
dataset's folder below it. It downloads the other files to `downloads/NAME` in the directory of
prepared datasets. To continue an interrupted download, run the same command again. If a file has a
published checksum, the command checks it; of files above 10 GiB that you downloaded by hand, it
checks only the size. `--mirror=URL` downloads `URL/FILE` in place of each address. TensorFlow is
not needed.

Sizes and checksums of published files come from TFDS or the package index, or from the files at the
named commit of a repository. The checksum of Tiny ImageNet does not come from its authors. An
archive of a repository at a commit has no published size or checksum; the commit determines its
contents. No address was tried when this table was made. Licences are those that the sources state,
if they state any; read them before you share data. Other TFDS datasets work, too, if TensorFlow is
installed.

`python -m experiments.prepare --list` prints this file.
"""
_COLUMNS = ("name", "what", "examples", "files", "licence", "from", "cite")


class Entry(NamedTuple):
    """A dataset of the table.

    Attributes:
      name: the value of `--dataset`.
      what: its contents in one line.
      splits: the published number of examples by split.
      origin: the files that it is prepared from.
      builder: the class of its builder.
    """

    name: str
    what: str
    splits: dict[str, int]
    origin: tuple[Origin, ...]
    builder: Any


def entries() -> list[Entry]:
    """Lists all datasets that this project builds, with one entry per variant."""
    found = []
    for module in pkgutil.iter_modules(builders.__path__):
        loaded = importlib.import_module(f"{builders.__name__}.{module.name}")
        builder = getattr(loaded, "Builder", None)
        if builder is None:
            continue
        what = loaded.__doc__.partition("\n\n")[0].replace("\n", " ")
        for variant in builder.BUILDER_CONFIGS or [None]:
            name = module.name if variant is None else f"{module.name}/{variant.name}"
            stated = builder if variant is None else variant
            splits = getattr(stated, "SPLITS", None) or getattr(stated, "splits", {})
            origin = getattr(stated, "ORIGIN", None) or getattr(stated, "origin", ())
            found.append(Entry(name, what, dict(splits), tuple(origin), builder))
    return found


def table() -> str:
    """Renders docs/data.md."""
    rows = [_COLUMNS, ("---",) * len(_COLUMNS), *map(_row, entries())]
    return _HEAD + "\n" + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _row(entry: Entry) -> tuple[str, ...]:
    builder = entry.builder
    examples = ", ".join(f"{split} {count:,}" for split, count in entry.splits.items())
    home = getattr(builder, "HOMEPAGE", "")
    registered = any(each.url is None for each in entry.origin)
    brought = registered or not entry.origin
    by_hand = builder.MANUAL_DOWNLOAD_INSTRUCTIONS if brought else None
    return (
        f"`{entry.name}`",
        entry.what.partition(": ")[2] or entry.what,
        examples,
        _files(entry.origin),
        getattr(builder, "LICENCE", ""),
        f"{by_hand or _address(entry.name, entry.origin)}; {home}",
        getattr(builder, "CITATION", ""),
    )


def _files(origin: Sequence[Origin]) -> str:
    if not origin:
        return ""
    count = f"{len(origin)} files" if len(origin) > 1 else origin[0].file
    sizes = [each.size for each in origin]
    size = "size not published" if None in sizes else f"{sum(sizes):,} bytes"
    kinds = sorted({(each.checksum or "no checksum").partition(":")[0] for each in origin})
    return f"{count}, {size}, {' and '.join(kinds)}"


def _address(name: str, origin: Sequence[Origin]) -> str:
    if not origin:
        made = {"digits": "scikit-learn", "lidar_rooms": "simulated"}
        made |= dict.fromkeys(("creatures", "stick_figures"), "drawn")
        return made.get(name, "by hand")
    urls = [each.url for each in origin]
    if len(urls) == 1:
        return urls[0]
    parts = [urllib.parse.urlsplit(url) for url in urls]
    folders = {f"{part.scheme}://{part.netloc}{part.path.rpartition('/')[0]}/" for part in parts}
    return ", ".join(sorted(folders))
