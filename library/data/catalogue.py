"""The table of this project's data sets: what each is, its files, its licence, where it is from."""

import importlib
import pkgutil
import urllib.parse
from collections.abc import Sequence
from typing import Any, NamedTuple

from library.data import builders
from library.data.origins import Origin

_HEAD = """# Data sets

`python -m experiments.prepare --dataset=NAME` makes a set ready for reading. It takes the files
that lie in `--manual_dir` (by default `$COMPENDIUM_DATA`, or `data` in the working directory), in
the set's folder or beside it. It downloads the others to `downloads/NAME` of the directory of
prepared sets. An interrupted download goes on with the same command. A file with a published
checksum is compared with it. `--mirror=URL` asks `URL/FILE` in place of each address. TensorFlow is
not needed.

Sizes and checksums of published files are those that TFDS or the package index state, or were read
from the files at the named commit of a repository. That of Tiny ImageNet is stated by others than
its authors. An archive of a repository at a commit has no published size or checksum: the commit
tells its contents. No address was tried when this table was made. Licences are those that the
sources state, as far as they do; read them before you pass data on. Other sets of TFDS work, too,
where TensorFlow is installed.

`python -m experiments.prepare --list` prints this file.
"""
_COLUMNS = ("name", "what", "examples", "files", "licence", "from", "cite")


class Entry(NamedTuple):
    """A data set of the table.

    Attributes:
      name: what `--dataset` takes.
      what: in one line.
      splits: published examples by split.
      origin: the files that it is made from.
      builder: its class.
    """

    name: str
    what: str
    splits: dict[str, int]
    origin: tuple[Origin, ...]
    builder: Any


def entries() -> list[Entry]:
    """Lists all data sets that this project builds, variants one by one."""
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
    return (
        f"`{entry.name}`",
        entry.what.partition(": ")[2] or entry.what,
        examples,
        _files(entry.origin),
        getattr(builder, "LICENCE", ""),
        f"{_address(entry.name, entry.origin)}; {home}",
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
        return "scikit-learn" if name == "digits" else "by hand"
    urls = [each.url for each in origin]
    if None in urls:
        return "for those who register"
    if len(urls) == 1:
        return urls[0]
    parts = [urllib.parse.urlsplit(url) for url in urls]
    folders = {f"{part.scheme}://{part.netloc}{part.path.rpartition('/')[0]}/" for part in parts}
    return ", ".join(sorted(folders))
