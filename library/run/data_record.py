"""What a run took from its data, kept in its workdir: every later program reads it and compares.

The record is written when a run is first started. What a program then finds must be the same: with
other classes, another vocabulary or other examples the params would mean something else, or the
rest of the run would be another run.
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
# What of a config's `dataset` says which examples a stage has, and what of it makes features.
_CHOOSING = ("name", "classes", "sources", "pairing")
_MAKING = ("train", "tokenizer", "context")


class Feature(NamedTuple):
    """The shape and dtype of a feature of one preprocessed training example."""

    shape: tuple[int, ...]
    dtype: str


class DataRecord(NamedTuple):
    """What a run took from its data.

    What is None or empty is not known, and compared with nothing.

    Attributes:
      features: by name; of images, the sizes of the first example.
      label_names: names of the classes by label.
      num_examples: of an epoch of the training split.
      fingerprints: of the training split and of that which evaluators call "test", by stage.
      tokenizer: "spec", as the config has it, and "fitted", see `Tokenizer.fitted`.
      preprocess: what preprocessing was fitted to, by the spec of the operation, as JSON.
      workdir: where it was read, for messages.
    """

    features: Mapping[str, Feature]
    label_names: tuple[str, ...] | None = None
    num_examples: int | None = None
    fingerprints: Mapping[str, Fingerprint] = {}
    tokenizer: Mapping[str, Any] | None = None
    preprocess: Mapping[str, Any] = {}
    workdir: str = ""


def features(blank: Mapping[str, np.ndarray]) -> dict[str, Feature]:
    """Describes an example."""
    return {name: Feature(tuple(x.shape), str(x.dtype)) for name, x in blank.items()}


def write(folder: Path, record: DataRecord) -> None:
    """Writes the record of a run into its workdir, whole; of several processes the first does."""
    write_json(Path(folder) / FILE, _plain(record))


def read(folder: Path) -> DataRecord | None:
    """Reads the record of the run in a directory; older runs have none.

    Raises:
      ConfigError: it is damaged.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        return None
    values = files.read_json(path)
    try:
        names = values["label_names"]
        return DataRecord(
            {k: Feature(tuple(x["shape"]), x["dtype"]) for k, x in values["features"].items()},
            None if names is None else tuple(names),
            values["num_examples"],
            {stage: _fingerprint(kept) for stage, kept in values["fingerprints"].items()},
            values["tokenizer"],
            values.get("preprocess", {}),
            str(folder),
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} is damaged: {type(error).__name__} {error}") from error


def of_run(folder: Path, values: Mapping[str, Any]) -> DataRecord | None:
    """Reads the record of a run, without what it says of data that a config does not name.

    Args:
      folder: the workdir.
      values: a config that opens it. Where its data are not those that the run was trained on,
        they are meant to be others.

    Raises:
      ConfigError: the record or the config of the run is damaged.
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
    return record._replace(
        features=record.features if made else {},
        fingerprints={stage: record.fingerprints[stage] for stage in stages},
    )


def check_source(record: DataRecord | None, stage: str, source: Source) -> None:
    """Compares what a stage, "train" or "test", reads with what it read when the run was started.

    Raises:
      ConfigError: they differ; the message names what does.
    """
    if record is None or stage not in record.fingerprints:
        return
    lines = []
    if stage == "train":
        lines += _renamed(record.label_names or (), source.label_names or ())
    lines += fingerprints.differences(record.fingerprints[stage], source.fingerprint())
    if lines:
        others = "start another run" if stage == "train" else "name these in config.splits"
        _refuse(record, "training data" if stage == "train" else "test data", lines, others)


def check_features(record: DataRecord | None, blank: Mapping[str, np.ndarray]) -> None:
    """Compares the features of a training example with those of when the run was started.

    Raises:
      ConfigError: one is gone, or has another shape or dtype.
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
    """Returns what the tokenizer of a run took from its text; None if that is not known.

    Raises:
      ConfigError: the run has another tokenizer than `spec`.
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
    """Compares the data that each process of a run finds.

    Raises:
      ConfigError: they differ.
    """
    if jax.process_count() == 1:
        return
    own = hashlib.sha256(json.dumps(_plain(record), sort_keys=True).encode()).digest()
    with WATCHDOG.limit("what data the others have", BARRIER):
        each = multihost_utils.process_allgather(np.frombuffer(own, np.uint8))
    others = np.flatnonzero((each != each[0]).any(axis=1))
    if others.size:
        raise ConfigError(f"the data of process {others[0]} are not those of process 0")


def unknown(folder: Path) -> str:
    """Returns the warning for a run without a record."""
    return f"warning: {folder} has no {FILE}: whether its data have changed is not known"


def _refuse(record: DataRecord, what: str, lines: list[str], others: str) -> NoReturn:
    shown = "; ".join(lines[:_SHOWN]) + ("; ..." if len(lines) > _SHOWN else "")
    raise ConfigError(
        f"the {what} are not those of the run in {record.workdir}: {shown}. "
        f"Bring those back, or {others}"
    )


def _renamed(before: Sequence[str], now: Sequence[str]) -> list[str]:
    """Says which classes differ, the first few of them."""
    lines = []
    if len(before) != len(now):
        lines.append(f"{len(before)} classes were there, now {len(now)}")
    pairs = enumerate(zip(before, now))
    other = [f"class {i} was {old!r} and is {new!r}" for i, (old, new) in pairs if old != new]
    more = [f"{len(other) - 2} more classes have other names"] if len(other) > 3 else []
    return [*lines, *(other[:2] + more if more else other)]


def _plain(record: DataRecord) -> dict[str, Any]:
    return {
        "features": {name: each._asdict() for name, each in record.features.items()},
        "label_names": record.label_names,
        "num_examples": record.num_examples,
        "fingerprints": {
            stage: {"unit": unit, "parts": {name: part._asdict() for name, part in parts.items()}}
            for stage, (unit, parts) in record.fingerprints.items()
        },
        "tokenizer": record.tokenizer,
        **({"preprocess": record.preprocess} if record.preprocess else {}),
    }


def _fingerprint(values: Mapping[str, Any]) -> Fingerprint:
    parts = {name: Part(**part) for name, part in values["parts"].items()}
    return Fingerprint(values["unit"], parts)
