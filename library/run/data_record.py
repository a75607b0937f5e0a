"""The data record of a run: facts about its data, which every later program compares.

A run's first start writes it into the workdir. Later programs must find the same data. With other
classes, another vocabulary or other examples the params would mean something else, or the rest of
the run would not continue the same run.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import jax
import numpy as np
from jax.experimental import multihost_utils

from library import config, files
from library.config import ConfigError, plain
from library.data import fingerprints
from library.data.fingerprints import Fingerprint, Part
from library.data.sources import Source
from library.parallel.watchdog import BARRIER, WATCHDOG
from library.run.sections import Dataset
from library.run.workdir import read_config, write_json

FILE = "data.json"
_SHOWN = 6
# Keys of a config's `dataset` that select the examples, and those that determine the features.
_CHOOSING = ("name", "classes", "sources", "pairing", "folds")
_MAKING = ("train", "tokenizer", "context")


class Feature(NamedTuple):
    """The shape and dtype of a feature of one preprocessed training example."""

    shape: tuple[int, ...]
    dtype: str


class DataRecord(NamedTuple):
    """Facts about the data of a run.

    A fact that is None or empty is unknown and is not compared.

    Attributes:
      features: the features, by name; the shape of an image is that of the first example.
      label_names: names of the classes, in the order of the labels.
      num_examples: number of examples in an epoch of the training split.
      fingerprints: the fingerprints of the splits of the stages "train" and "test", by stage.
      tokenizer: "spec", from the config, and "fitted", see `Tokenizer.fitted`.
      preprocess: the fitted values of preprocessing, by the operation's spec as JSON.
      workdir: the run's directory, for messages.
      kinds: the kinds of the training split's features, before preprocessing.
      evaluated: as `features`, but after the preprocessing of evaluations.
    """

    features: Mapping[str, Feature]
    label_names: tuple[str, ...] | None = None
    num_examples: int | None = None
    fingerprints: Mapping[str, Fingerprint] = {}
    tokenizer: Mapping[str, Any] | None = None
    preprocess: Mapping[str, Any] = {}
    workdir: str = ""
    kinds: Mapping[str, str] | None = None
    evaluated: Mapping[str, Feature] | None = None

    @property
    def suffices(self) -> bool:
        """Whether a program that does not train needs nothing else of the training split."""
        return self.kinds is not None and self.evaluated is not None


def features(blank: Mapping[str, np.ndarray]) -> dict[str, Feature]:
    """Returns the shapes and dtypes of the features of an example."""
    return {name: Feature(tuple(x.shape), str(x.dtype)) for name, x in blank.items()}


def blank(known: Mapping[str, Feature]) -> dict[str, np.ndarray]:
    """Returns an example of zeros with these features."""
    return {name: np.zeros(each.shape, each.dtype) for name, each in known.items()}


def write(folder: Path, record: DataRecord) -> None:
    """Writes a data record into a workdir, atomically; only the first process writes."""
    write_json(Path(folder) / FILE, _plain(record))


def read(folder: Path) -> DataRecord | None:
    """Reads the data record of the run in a directory; None for older runs, which have none.

    Raises:
      ConfigError: the file is damaged.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        return None
    values = files.read_json(path)
    try:
        names = values["label_names"]
        kinds, evaluated = values.get("kinds"), values.get("evaluated")
        return DataRecord(
            _features(values["features"]),
            None if names is None else tuple(names),
            values["num_examples"],
            {stage: _fingerprint(kept) for stage, kept in values["fingerprints"].items()},
            values["tokenizer"],
            values.get("preprocess", {}),
            str(folder),
            None if kinds is None else {name: str(kind) for name, kind in kinds.items()},
            None if evaluated is None else _features(evaluated),
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} is damaged: {type(error).__name__} {error}") from error


def of_run(folder: Path, values: Mapping[str, Any]) -> DataRecord | None:
    """Reads the data record of a run, without the facts about data that a config replaces.

    Args:
      folder: the workdir.
      values: the config of this program. Where it names other data than the run's own config, the
        other data are intended, and the facts about the old data are left out.

    Raises:
      ConfigError: the data record or the config of the run is damaged.
    """
    record = read(folder)
    if record is None:
        return None
    kept = read_config(folder)
    ours, theirs = (config.read(Dataset, v["dataset"], "dataset") for v in (values, kept))

    def same(*keys: str) -> bool:
        return all(getattr(ours, key) == getattr(theirs, key) for key in keys)

    stages = [stage for stage in record.fingerprints if same(*_CHOOSING, stage)]
    made = same(*_CHOOSING, *_MAKING) and plain(values.get("preprocess")) == kept.get("preprocess")
    record = record._replace(fingerprints={s: record.fingerprints[s] for s in stages})
    return record if made else record._replace(features={}, kinds=None, evaluated=None)


def check_source(record: DataRecord | None, stage: str, source: Source) -> None:
    """Compares the data of a stage, "train" or "test", with the data record.

    Raises:
      ConfigError: they differ; the message lists the differences.
    """
    if record is None or stage not in record.fingerprints:
        return
    lines = []
    if record.label_names is not None:
        lines += _renamed(record.label_names, source.label_names or ())
    lines += fingerprints.differences(record.fingerprints[stage], source.fingerprint())
    if lines:
        others = "start another run" if stage == "train" else "name these in config.splits"
        _refuse(record, "training data" if stage == "train" else "test data", lines, others)


def check_features(record: DataRecord | None, blank: Mapping[str, np.ndarray]) -> None:
    """Compares the features of a training example with the data record.

    Raises:
      ConfigError: a feature is missing, or has another shape or dtype.
    """
    found = features(blank)
    lines = []
    for name, kept in () if record is None else record.features.items():
        if name not in found:
            lines.append(f"{name!r} is gone")
        elif found[name] != kept:
            was, now = (f"{each.dtype} {each.shape}" for each in (kept, found[name]))
            lines.append(f"{name!r} was {was} and is {now}")
    if lines:
        _refuse(record, "training examples", lines, "start another run")


def fitted(record: DataRecord | None, spec: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Returns the fitted values of a run's tokenizer; None if they are unknown.

    Raises:
      ConfigError: the run was trained with another tokenizer than `spec`.
    """
    if record is None or record.tokenizer is None:
        return None
    if plain(spec) != record.tokenizer["spec"]:
        raise ConfigError(
            f"dataset.tokenizer={plain(spec)}: the run in {record.workdir} was trained with "
            f"{record.tokenizer['spec']}"
        )
    return record.tokenizer["fitted"]


def check_processes(record: DataRecord) -> None:
    """Compares the data records of all processes of a run.

    Raises:
      ConfigError: they differ.
    """
    if jax.process_count() == 1:
        return
    own = hashlib.sha256(json.dumps(_plain(record), sort_keys=True).encode()).digest()
    with WATCHDOG.limit("the data records of the other processes", BARRIER):
        each = multihost_utils.process_allgather(np.frombuffer(own, np.uint8))
    others = np.flatnonzero((each != each[0]).any(axis=1))
    if others.size:
        raise ConfigError(f"the data of process {others[0]} differ from those of process 0")


def unknown(folder: Path) -> str:
    """Returns the warning for a run without a data record."""
    return f"warning: {folder} has no {FILE}: changes of its data cannot be noticed"


def _refuse(record: DataRecord, what: str, lines: list[str], others: str) -> NoReturn:
    shown = "; ".join(lines[:_SHOWN]) + ("; ..." if len(lines) > _SHOWN else "")
    raise ConfigError(
        f"the {what} differ from those of the run in {record.workdir}: {shown}. "
        f"Restore the old data, or {others}"
    )


def _renamed(before: Sequence[str], now: Sequence[str]) -> list[str]:
    """Lists how classes differ, the first few of them."""
    lines = []
    if len(before) != len(now):
        lines.append(f"there were {len(before)} classes, and now there are {len(now)}")
    pairs = enumerate(zip(before, now))
    other = [f"class {i} was {old!r} and is {new!r}" for i, (old, new) in pairs if old != new]
    more = [f"{len(other) - 2} more classes have other names"] if len(other) > 3 else []
    return [*lines, *(other[:2] + more if more else other)]


def _plain(record: DataRecord) -> dict[str, Any]:
    return {
        "features": _described(record.features),
        "label_names": record.label_names,
        "num_examples": record.num_examples,
        "fingerprints": {
            stage: {"unit": unit, "parts": {name: part._asdict() for name, part in parts.items()}}
            for stage, (unit, parts) in record.fingerprints.items()
        },
        "tokenizer": record.tokenizer,
        **({"preprocess": record.preprocess} if record.preprocess else {}),
        **({} if record.kinds is None else {"kinds": dict(record.kinds)}),
        **({} if record.evaluated is None else {"evaluated": _described(record.evaluated)}),
    }


def _described(known: Mapping[str, Feature]) -> dict[str, Any]:
    return {name: each._asdict() for name, each in known.items()}


def _features(values: Mapping[str, Any]) -> dict[str, Feature]:
    return {name: Feature(tuple(x["shape"]), x["dtype"]) for name, x in values.items()}


def _fingerprint(values: Mapping[str, Any]) -> Fingerprint:
    parts = {name: Part(**part) for name, part in values["parts"].items()}
    return Fingerprint(values["unit"], parts)
