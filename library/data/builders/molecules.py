"""Four tables of MoleculeNet: molecules as SMILES with measured properties.

Wu et al., "MoleculeNet: a benchmark for molecular machine learning", Chemical Science 9, 2018:
ESOL (solubility, one number), Tox21 (12 tests), SIDER (27 side effects) and ClinTox (2 tests).
"""

import csv
import gzip
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from library.config import ConfigError
from library.data import origins
from library.data.builders import making, tables

_COMMIT = "fbe3b911a94a6eb8c84c1a9e7ac67a472c49ea80"
# Molecules, the published file, its size and SHA-256.
_TABLES = {
    "esol": (
        1128,
        "datasets/delaney-processed.csv",
        96_699,
        "8c06a76f0c6487d29ab0f903e6a7a7139f189ab3c1178f159c8be8964602f189",
    ),
    "tox21": (
        8014,
        "datasets/tox21.csv.gz",
        125_310,
        "48b34e4e59a2bae6f95734cd206c1869ab355f50a5e50bb7371a21f861d5e297",
    ),
    "sider": (
        1427,
        "examples/sider/sider.csv.gz",
        34_759,
        "4cc7ccb20dded475853c583596e227116c222c6ca7dbb40159bdbe9ee3f099b9",
    ),
    "clintox": (
        1491,
        "examples/clintox/datasets/clintox.csv.gz",
        19_889,
        "2ee7050a830fe9ae7a8218e6577fa6f54284947034ff904b6d8204e993a297cc",
    ),
}
_FILES = {"esol": "esol_delaney.csv.gz"}
_SOLUBILITY = "measured log solubility in mols per litre"
_TASKS = {"esol": 1, "tox21": 12, "sider": 27, "clintox": 2}


def _splits(count: int) -> dict[str, int]:
    tenths = {"val": len(range(1, count, 10)), "test": len(range(0, count, 10))}
    return {"train": count - sum(tenths.values()), **tenths}


def _variant(name: str, count: int, path: str, size: int, sha256: str) -> making.Variant:
    return making.Variant(
        name=name,
        splits=_splits(count),
        origin=origins.on_github("deepchem/deepchem", _COMMIT, {path: (size, f"sha256:{sha256}")}),
        files=(_FILES.get(name, f"{name}.csv.gz"),),
    )


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """`text` (SMILES) and `target` (tasks,), NaN for a missing measurement.

    Of every ten rows the first is in test, the second in val and the others in train. These splits
    are this project's own, not splits by scaffold.
    """

    name = "molecules"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "molecules"
    HOMEPAGE = "https://moleculenet.org"
    LICENCE = "MIT for the repository; the data are public sets"
    CITATION = "Wu et al., MoleculeNet, Chemical Science 9, 2018"
    KINDS: ClassVar[dict[str, str]] = {"target": "target"}
    BUILDER_CONFIGS: ClassVar[list] = [_variant(name, *known) for name, known in _TABLES.items()]

    def _info(self) -> tfds.core.DatasetInfo:
        tasks = _TASKS[self.builder_config.name]
        features = {
            "text": tfds.features.Text(),
            "target": tfds.features.Tensor(shape=(tasks,), dtype=np.float32),
        }
        return making.info(self, features)

    def _split_generators(self, dl_manager):
        ((_, path),) = self.paths.items()
        smiles, targets = _read(path, _TASKS[self.builder_config.name])
        part = np.arange(len(smiles)) % 10
        rows = {"train": part >= 2, "val": part == 1, "test": part == 0}
        return {split: _examples(smiles, targets, np.flatnonzero(rows[split])) for split in rows}

    def pack(self, paths: Mapping[str, Path], folder: Path) -> None:
        """Writes the gzipped table, with unchanged contents."""
        ((_, path),) = paths.items()
        packed = gzip.compress(making.unzipped(path), mtime=0)
        (folder / self.builder_config.files[0]).write_bytes(packed)

    _generate_examples = making.examples


def _read(path: Path, tasks: int) -> tuple[list[str], np.ndarray]:
    text = making.unzipped(path).decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    left_out = ("smiles", "mol_id")
    keys = [_SOLUBILITY] if tasks == 1 else [x for x in rows[0] if x not in left_out]
    if len(keys) != tasks or not {"smiles", *keys} <= set(rows[0]):
        raise ConfigError(f"{path} has columns {list(rows[0])}, not smiles and {tasks} tasks")
    targets = tables.numbers(path, [[row[key] for key in keys] for row in rows])
    return [row["smiles"].strip() for row in rows], targets


def _examples(
    smiles: list[str], targets: np.ndarray, rows: np.ndarray
) -> Iterator[tuple[int, dict]]:
    for row in rows.tolist():
        yield row, {"text": smiles[row], "target": targets[row]}
