"""Joins several sources into one, whose features are named "<source>_<feature>".

Sources are either paired by row (two photographs of the same place), or each has its own order
(unrelated photographs and paintings). The first source sets the length: an epoch is one pass over
it, and an evaluation takes each of its examples once.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from library import rng
from library.config import ConfigError
from library.data import features, pipeline
from library.data.fingerprints import Fingerprint
from library.data.preprocessing import CorruptExample
from library.data.sources import Source

# Distance between the seeds of sources: large, so that a source of one run does not get the order
# of a source of a run with a nearby seed.
_SEED_STEP = 0x9E3779B9


class Part(NamedTuple):
    """One of several sources, and the preprocessing of its examples before they are joined."""

    source: Source
    preprocess: Callable


@dataclasses.dataclass(frozen=True)
class JoinedRecords:
    """Joined examples of several sources.

    Attributes:
      parts: the sources by name; the first sets the length.
      paired: whether sources are paired by row; otherwise each has its own order.
      shuffled: whether the orders of unpaired sources are shuffled, as in training, or sequential.
      seed: seed of the orders and of the preprocessing.
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
        """Returns the joined example at a position of the run, `row` being the first source's."""
        found = {}
        for place, (name, part) in enumerate(self.parts.items()):
            own = row if self.paired or place == 0 else self._row(place, position, part)
            generator = rng.host_generator(self.seed, "source", position, place)
            try:
                example = part.preprocess(dict(part.source.records[own]), generator)
            except (CorruptExample, OSError) as error:
                raise CorruptExample(f"{name}, {part.source.describe(own)}: {error}") from error
            found |= {f"{name}_{key}": value for key, value in example.items()}
        return found

    def _row(self, place: int, position: int, part: Part) -> int:
        count = len(part.source.records)
        if not self.shuffled:
            return position % count
        seed = (self.seed + place * _SEED_STEP) % 2**32
        return int(pipeline.rows(np.array([position]), seed, count)[0])


def join(parts: Mapping[str, Part], *, paired: bool, shuffled: bool, seed: int) -> Source:
    """Joins several sources into one.

    The joined source has the epoch of the first source, the class names of the first that has some,
    and the tokenizer of those that have one.

    Args:
      parts: the sources by name.
      paired: whether sources are paired by row; otherwise each has its own order.
      shuffled: whether the orders of unpaired sources are shuffled.
      seed: seed of the run.

    Raises:
      ConfigError: a source has no examples, paired sources have different lengths, sources have
        different tokenizers, or a name is not an identifier.
    """
    _check(parts, paired)
    kinds = {
        f"{name}_{key}": kind
        for name, part in parts.items()
        for key, kind in features.after(part.preprocess, part.source.kinds).items()
    }
    sources = {name: part.source for name, part in parts.items()}
    named = [source.label_names for source in sources.values() if source.label_names]
    tokenizers = [source.tokenizer for source in sources.values() if source.tokenizer is not None]
    first = next(iter(sources.values()))
    return Source(
        JoinedRecords(dict(parts), paired, shuffled, seed),
        named[0] if named else None,
        first.describe,
        tokenizer=tokenizers[0] if tokenizers else None,
        epoch=first.epoch,
        exif_orientation=any(source.exif_orientation for source in sources.values()),
        notes=tuple(note for source in sources.values() for note in source.notes),
        fingerprint=functools.partial(_fingerprint, sources),
        kinds=features.check(kinds, "dataset.sources"),
    )


def _check(parts: Mapping[str, Part], paired: bool) -> None:
    sizes = {name: len(part.source.records) for name, part in parts.items()}
    if not all(sizes.values()):
        raise ConfigError(f"dataset.sources need 1 or more examples each, got {sizes}")
    if paired and len(set(sizes.values())) > 1:
        raise ConfigError(
            f"dataset.pairing='row' needs sources of equal length, got {sizes}: with 'own' each "
            "source has its own order"
        )
    for name in parts:
        if not name.isidentifier():
            raise ConfigError(
                f"dataset.sources.{name}: a name has letters, digits and _ only, and begins with a "
                "letter or _"
            )
    found = {name: part.source.tokenizer for name, part in parts.items()}
    found = {name: (each.names, each.fitted) for name, each in found.items() if each is not None}
    if any(vocabulary != next(iter(found.values())) for vocabulary in found.values()):
        raise ConfigError(
            f"dataset.sources: {' and '.join(found)} have different tokenizers, and joined sources "
            "have one"
        )


def _fingerprint(sources: Mapping[str, Source]) -> Fingerprint:
    each = {name: source.fingerprint() for name, source in sources.items()}
    units = {fingerprint.unit for fingerprint in each.values()}
    parts = {f"{name}: {key}": x for name in each for key, x in each[name].parts.items()}
    return Fingerprint(units.pop() if len(units) == 1 else "", parts)
