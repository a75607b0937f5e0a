"""Several sources as one: their features beside each other, by "<source>_<feature>".

They are paired by row, as two photographs of one place are, or each goes in its own order, as
photographs and paintings do that have nothing to do with each other. The first source leads: an
epoch passes it once, and in an evaluation each of its examples comes once.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from library import rng
from library.config import ConfigError
from library.data import features, pipeline
from library.data.fingerprints import Fingerprint
from library.data.sources import Source

# Far apart, so that no two sources of a run have the order of another run's.
_APART = 0x9E3779B9


class Part(NamedTuple):
    """One of several sources: its records, and what happens to each before they are joined."""

    source: Source
    preprocess: Callable


@dataclasses.dataclass(frozen=True)
class JoinedRecords:
    """Examples of several sources, joined.

    Attributes:
      parts: by name, the first leads.
      paired: by row; otherwise each goes in its own order.
      shuffled: whether the own orders are shuffled, as in training, or go on row by row.
      seed: of the orders, and of the preprocessing.
    """

    parts: Mapping[str, Part]
    paired: bool
    shuffled: bool
    seed: int

    def __len__(self) -> int:
        return len(next(iter(self.parts.values())).source.records)

    def __getitem__(self, row: int) -> dict:
        return self.at(row, row)

    def at(self, position: int, row: int) -> dict[str, Any]:
        """Returns what stands at a position of the run, where the first source has `row`."""
        found = {}
        for place, (name, part) in enumerate(self.parts.items()):
            own = row if self.paired or place == 0 else self._row(place, position, part)
            generator = rng.host_generator(self.seed, "source", position, place)
            example = part.preprocess(dict(part.source.records[own]), generator)
            found |= {f"{name}_{key}": value for key, value in example.items()}
        return found

    def _row(self, place: int, position: int, part: Part) -> int:
        count = len(part.source.records)
        if not self.shuffled:
            return position % count
        seed = (self.seed + place * _APART) % 2**32
        return int(pipeline.rows(np.array([position]), seed, count)[0])


def join(parts: Mapping[str, Part], *, paired: bool, shuffled: bool, seed: int) -> Source:
    """Joins sources to one.

    Args:
      parts: by name.
      paired: by row; otherwise each goes in its own order.
      shuffled: see `JoinedRecords`.
      seed: of the run.

    Raises:
      ConfigError: sources that are paired have different lengths, or a name is none.
    """
    sizes = {name: len(part.source.records) for name, part in parts.items()}
    if paired and len(set(sizes.values())) > 1:
        raise ConfigError(
            f"dataset.pairing='row' pairs sources of one length, got {sizes}: 'own' has each go in "
            "its own order"
        )
    for name in parts:
        if not name.isidentifier():
            raise ConfigError(f"dataset.sources.{name}: letters, digits and _ make a name")
    kinds = {
        f"{name}_{key}": kind
        for name, part in parts.items()
        for key, kind in features.after(part.preprocess, part.source.kinds).items()
    }
    sources = {name: part.source for name, part in parts.items()}
    named = [source.label_names for source in sources.values() if source.label_names]
    first = next(iter(sources.values()))
    return Source(
        JoinedRecords(dict(parts), paired, shuffled, seed),
        named[0] if named else None,
        first.describe,
        exif_orientation=any(source.exif_orientation for source in sources.values()),
        notes=tuple(note for source in sources.values() for note in source.notes),
        fingerprint=lambda: _fingerprint(sources),
        kinds=features.check(kinds, "dataset.sources"),
    )


def _fingerprint(sources: Mapping[str, Source]) -> Fingerprint:
    each = {name: source.fingerprint() for name, source in sources.items()}
    unit = next(iter(each.values())).unit
    parts = {f"{name}: {key}": x for name in each for key, x in each[name].parts.items()}
    return Fingerprint(unit, parts)
