"""Molecules as graphs: from SMILES, or from atoms with coordinates."""

import functools
from typing import Literal

import numpy as np

from library import molecular_graphs, molecules
from library.config import ConfigError, check_choice
from library.data import features, smiles
from library.data.preprocessing._examples import (
    Example,
    Operation,
    feature,
    positive,
    without,
)

# Degrees and numbers of hydrogen atoms that have a column of their own, the last for more.
_COUNTS = 6


def molecule_graph(reader: Literal["own", "rdkit"] = "own", key: str = "text") -> Operation:
    """Converts SMILES to a graph whose nodes are the atoms and whose edges are the bonds.

    It adds `nodes` (n, 32), one-hot: the element (18, the last for others), the number of bonds
    (6), the number of hydrogen atoms (6), and two numbers, the charge and whether the atom is
    aromatic; `node_kind` (n,), the number of the element; `edges` (m, 2), each bond in both
    directions; and `edge_features` (m, 4), one-hot: single, double, triple or aromatic. Hydrogen
    atoms are no nodes, unless the SMILES has them as atoms.

    The reader is a setting, and not what is installed, so that a recipe gives the same graphs on
    every machine.

    Args:
      reader: "own" is `library.data.smiles.read`, which has limits; "rdkit" needs that package.
      key: the feature with the SMILES.

    Raises:
      ConfigError: the reader is unknown. (The operation) rdkit is not installed.
      ValueError: (the operation) the text is no molecule.
    """
    check_choice("reader of molecule_graph", reader, ("own", "rdkit"))
    operation = functools.partial(_molecule_graph, reader=reader, key=key)
    made = dict.fromkeys(("nodes", "node_kind", "edges", "edge_features"), "array")
    return features.making(operation, **made)


def distances(
    num: int = 16, highest: float = 3.0, cutoff: float = 0.0, key: str = "positions"
) -> Operation:
    """Replaces the positions of atoms by distances along the edges.

    `edge_features` (m, num + 1): the distance d as exp(-((d - c) / w)^2) for `num` centres c from 0
    to `highest`, w apart, and 1 for an edge that was there before.

    Args:
      num: number of centres, 2 or more.
      highest: the last centre, in angstrom.
      cutoff: pairs of atoms that are nearer than this, in angstrom, become edges, too.
      key: the positions (n, 3), in angstrom.

    Raises:
      ConfigError: `num` is below 2, `highest` is not above 0, or `cutoff` is negative.
    """
    if positive(num) < 2 or highest <= 0 or cutoff < 0:
        raise ConfigError(
            f"distances, num={num}, highest={highest}, cutoff={cutoff}: valid are num of 2 or "
            "more, highest above 0 and cutoff of 0 or more"
        )
    settings = dict(num=num, highest=highest, cutoff=cutoff, key=key)
    return features.making(functools.partial(_distances, **settings), edge_features="array")


def chemical_accuracy(properties: tuple[str, ...], key: str = "target") -> Operation:
    """Keeps some of QM9's fifteen properties, in units of their chemical accuracy.

    An absolute error of such a target is the ratio that papers on QM9 report; below 1 the
    prediction is as good as chemists need (Faber et al. 2017; Gilmer et al. 2017, section 6).

    Args:
      properties: names in `library.molecules.ACCURACIES`, in the order of the new target.
      key: the target (15,) of the data set qm9.

    Raises:
      ConfigError: there are no properties, or one is unknown.
    """
    if not properties:
        raise ConfigError(f"chemical_accuracy: name properties of {list(molecules.ACCURACIES)}")
    for name in properties:
        check_choice("property of chemical_accuracy", name, molecules.ACCURACIES)
    return functools.partial(_chemical_accuracy, properties=tuple(properties), key=key)


def molecule_matrices(num_atoms: int = 9, key: str = "text") -> Operation:
    """Converts SMILES of carbon, nitrogen, oxygen and fluorine to two matrices.

    It adds `atoms` int32 (k,) and `bonds` int32 (k, k), see `library.molecular_graphs`, with k of
    `num_atoms`. Charges are left out.

    Args:
      num_atoms: the most atoms.
      key: the feature with the SMILES.

    Raises:
      ValueError: (the operation) a molecule has more atoms or another element, or is no SMILES.
    """
    operation = functools.partial(_molecule_matrices, num_atoms=positive(num_atoms), key=key)
    return features.making(operation, atoms="array", bonds="array")


def _text(example: Example, key: str) -> str:
    """Returns a text, which prepared data sets hold as bytes."""
    value = feature(example, key)
    return value.decode() if isinstance(value, bytes) else str(value)


def _molecule_graph(example: Example, rng: np.random.Generator, *, reader, key) -> Example:
    read = smiles.read if reader == "own" else smiles.read_by_rdkit
    atoms, bonds = read(_text(example, key))
    ends = np.array([bond[:2] for bond in bonds], np.int32).reshape(-1, 2)
    kinds = np.array([bond[2] for bond in bonds], np.int32)
    degree = np.bincount(ends.ravel(), minlength=len(atoms))
    element = np.array([molecules.element_number(atom.symbol) for atom in atoms])
    columns = [
        np.eye(len(molecules.ELEMENTS) + 1)[element],
        np.eye(_COUNTS)[np.minimum(degree, _COUNTS - 1)],
        np.eye(_COUNTS)[[min(atom.hydrogens, _COUNTS - 1) for atom in atoms]],
        np.array([[atom.charge, atom.aromatic] for atom in atoms]),
    ]
    return {
        **without(example, key),
        "nodes": np.concatenate(columns, axis=1).astype(np.float32),
        "node_kind": element.astype(np.int32),
        "edges": np.concatenate([ends, ends[:, ::-1]]),
        "edge_features": np.eye(4, dtype=np.float32)[np.concatenate([kinds, kinds])],
    }


def _molecule_matrices(example: Example, rng: np.random.Generator, *, num_atoms, key) -> Example:
    text = _text(example, key)
    found, joined = smiles.read(text)
    symbols = [atom.symbol for atom in found]
    if len(found) > num_atoms or not set(symbols) <= set(molecular_graphs.HEAVY):
        raise ValueError(
            f"molecule_matrices: {text!r} has {len(found)} atoms of {sorted(set(symbols))}; valid "
            f"are {num_atoms} or less of {', '.join(molecular_graphs.HEAVY)}"
        )
    atoms, bonds = np.zeros(num_atoms, np.int32), np.zeros((num_atoms, num_atoms), np.int32)
    atoms[: len(found)] = [1 + molecular_graphs.HEAVY.index(symbol) for symbol in symbols]
    for a, b, kind in joined:
        bonds[a, b] = bonds[b, a] = 1 + kind
    return {**without(example, key), "atoms": atoms, "bonds": bonds}


def _distances(example: Example, rng: np.random.Generator, *, num, highest, cutoff, key) -> Example:
    places = np.asarray(feature(example, key), np.float32)
    edges = np.asarray(feature(example, "edges"), np.int32)
    between = np.linalg.norm(places[:, None] - places[None], axis=-1)
    bonded = np.zeros(between.shape, bool)
    bonded[edges[:, 0], edges[:, 1]] = True
    near = bonded | (between < cutoff)
    np.fill_diagonal(near, False)
    edges = np.argwhere(near).astype(np.int32)
    length, was_there = between[near], bonded[near]
    centres = np.linspace(0, highest, num, dtype=np.float32)
    spread = np.exp(-np.square((length[:, None] - centres) / centres[1]))
    found = np.concatenate([spread, was_there[:, None]], axis=1)
    return {**without(example, key), "edges": edges, "edge_features": found.astype(np.float32)}


def _chemical_accuracy(example: Example, rng: np.random.Generator, *, properties, key) -> Example:
    target = np.asarray(feature(example, key), np.float64)
    if target.shape != (len(molecules.QM9_PROPERTIES),):
        raise ValueError(
            f"{key} has shape {target.shape}, expected QM9's {len(molecules.QM9_PROPERTIES)}"
        )
    places = [molecules.QM9_PROPERTIES.index(name) for name in properties]
    units = np.array([molecules.ACCURACIES[name] for name in properties])
    return {**example, key: (target[places] / units).astype(np.float32)}
