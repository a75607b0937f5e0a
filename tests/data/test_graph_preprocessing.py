"""Graphs and molecules before they are batched, against values by hand."""

import importlib.util
import itertools
import pickle

import numpy as np
import pytest

from library import molecules
from library.config import ConfigError
from library.data import preprocessing, smiles
from library.data.smiles import AROMATIC, DOUBLE, SINGLE, TRIPLE
from library.rng import host_generator

DRAWS = host_generator(0, "preprocess", 0)
RING = np.array([[i, (i + 1) % 30] for i in range(30)], np.int32)


def made(operation, example):
    return pickle.loads(pickle.dumps(operation))(example, DRAWS)


def test_edges_go_both_ways_with_what_belongs_to_them():
    edges = np.array([[0, 1], [2, 1]], np.int32)
    example = {"edges": edges, "edge_features": np.array([[5.0], [6.0]]), "nodes": np.ones((3, 1))}
    found = made(preprocessing.both_directions(), example)
    np.testing.assert_array_equal(found["edges"], [[0, 1], [2, 1], [1, 0], [1, 2]])
    np.testing.assert_array_equal(found["edge_features"][:, 0], [5, 6, 5, 6])
    with pytest.raises(ValueError, match="in both directions already"):
        made(preprocessing.both_directions(), found)


def test_words_become_shares_and_a_paper_without_words_stays():
    nodes = np.array([[1, 1, 0, 2], [0, 0, 0, 0]], np.float32)
    found = made(preprocessing.normalize_nodes(), {"nodes": nodes})["nodes"]
    np.testing.assert_array_equal(found, [[0.25, 0.25, 0, 0.5], [0, 0, 0, 0]])


def test_the_nodes_of_a_split_count():
    masks = {"train_mask": [1, 0, 0], "val_mask": [0, 1, 0], "test_mask": [0, 0, 1]}
    example = {"node_label": np.array([2, 0, -1]), **{k: np.array(x) for k, x in masks.items()}}
    found = made(preprocessing.count_nodes("val_mask"), example)
    assert sorted(found) == ["node_counted", "node_label"]
    np.testing.assert_array_equal(found["node_counted"], [0, 1, 0])
    with pytest.raises(ValueError, match="1 nodes of test_mask have no label"):
        made(preprocessing.count_nodes("test_mask"), example)
    with pytest.raises(ConfigError, match="did you mean 'val_mask'"):
        preprocessing.count_nodes("val")


def pairs(found, label):
    return [tuple(x) for x in found["pairs"][found["pairs_label"] == label].tolist()]


def test_held_out_edges_are_apart_and_the_other_pairs_are_no_edges():
    example = {"nodes": np.ones((30, 1)), "edges": RING[::-1]}
    operation = preprocessing.hold_out_edges
    found = {x: made(operation(x, 0.1, 0.2), example) for x in ("train", "val", "test")}
    edges = {tuple(sorted(x)) for x in RING.tolist()}
    assert [len(pairs(found[x], 1)) for x in found] == [21, 3, 6]
    every = [pair for x in found.values() for pair in pairs(x, 1)]
    assert sorted(every) == sorted(edges)
    absent = [pair for x in found.values() for pair in pairs(x, 0)]
    assert len(set(absent)) == len(absent) == 30
    assert not edges & set(absent)
    assert all(a < b for a, b in absent)
    for x in found.values():
        assert {tuple(e) for e in x["edges"].tolist()} == set(pairs(found["train"], 1))
    other = made(operation("train", 0.1, 0.2, seed=1), example)
    assert pairs(other, 1) != pairs(found["train"], 1)
    with pytest.raises(ConfigError, match="shares above 0"):
        operation("train", 0.5, 0.5)
    few = {"nodes": np.ones((4, 1)), "edges": np.array([[0, 1], [1, 2], [2, 3]])}
    with pytest.raises(ValueError, match="too few"):
        made(operation("train"), few)


def bonds(text):
    return sorted((min(a, b), max(a, b), kind) for a, b, kind in smiles.read(text).bonds)


def hydrogens(text):
    return [atom.hydrogens for atom in smiles.read(text).atoms]


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("CCO", [3, 2, 1]),
        ("C#N", [1, 0]),
        ("CC(=O)[O-]", [3, 0, 0, 0]),
        ("c1ccncc1", [1, 1, 1, 0, 1, 1]),
        ("c1cc[nH]c1", [1, 1, 1, 1, 1]),
        ("Cn1cccc1", [3, 0, 1, 1, 1, 1]),
        ("CS(=O)(=O)N", [3, 0, 0, 0, 2]),
        ("C[N+](=O)[O-]", [3, 0, 0, 0]),
        ("CN(=O)=O", [3, 0, 0, 0]),
        ("O=c1cc[nH]cc1", [0, 0, 1, 1, 1, 1, 1]),
        ("FC(Cl)(Br)I", [0, 0, 0, 0, 0]),
    ],
)
def test_hydrogen_is_counted_by_the_usual_valences(text, counts):
    assert hydrogens(text) == counts


def test_a_molecule_has_its_atoms_and_bonds():
    aspirin = smiles.read("CC(=O)Oc1ccccc1C(=O)O")
    assert (len(aspirin.atoms), len(aspirin.bonds)) == (13, 13)
    assert sum(atom.hydrogens for atom in aspirin.atoms) == 8
    assert [atom.aromatic for atom in aspirin.atoms].count(True) == 6
    assert [kind for *_, kind in aspirin.bonds].count(AROMATIC) == 6
    assert bonds("C1CC1") == [(0, 1, SINGLE), (0, 2, SINGLE), (1, 2, SINGLE)]
    assert bonds("C%12CC=%12") == [(0, 1, SINGLE), (0, 2, DOUBLE), (1, 2, SINGLE)]
    assert bonds("C=1CC1") == bonds("C1CC=1")
    assert bonds("N#CC(/F)=C\\Cl")[0] == (0, 1, TRIPLE)
    # Two rings that are joined by a single bond.
    assert bonds("c1ccccc1-c1ccccc1").count((5, 6, SINGLE)) == 1
    assert bonds("[Na+].[Cl-]") == []
    atoms = smiles.read("[13CH3:2][C@@H](N)[NH3+].[Fe+2].[O--].[se]").atoms
    assert [(a.symbol, a.hydrogens, a.charge, a.aromatic) for a in atoms] == [
        *(("C", 3, 0, False), ("C", 1, 0, False), ("N", 2, 0, False), ("N", 3, 1, False)),
        *(("Fe", 0, 2, False), ("O", 0, -2, False), ("Se", 0, 0, True)),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("C1CC", "does not end"),
        ("C(C", "does not end"),
        ("CC)C", "has not begun"),
        ("1CC", "begins without an atom"),
        ("C{C", "unknown '{' at place 1"),
        ("[C", r"unknown '\[' at place 0"),
        ("[+C]", r"unknown atom \[\+C\]"),
        ("", "no atom"),
    ],
)
def test_what_is_no_molecule_is_an_error(text, message):
    with pytest.raises(ValueError, match=message):
        smiles.read(text)


SAMPLES = (
    *("CC(=O)Oc1ccccc1C(=O)O", "CN1C=NC2=C1C(=O)N(C(=O)N2C)C", "C[N+](C)(C)CC(=O)[O-]"),
    *("O=c1[nH]c(=O)c2[nH]cnc2[nH]1", "CSc1nnc(C(C)(C)C)c(=O)n1N", "ClC(Cl)(Cl)C(c1ccc(Cl)cc1)"),
    *("CCOP(=S)(OCC)SCSP(=S)(OCC)OCC", "[Na+].[O-]c1ccccc1", "C1CC2CCC1C2", "FC(F)(F)S(=O)(=O)N"),
)


@pytest.mark.parametrize("text", SAMPLES)
def test_both_readers_find_the_same_atoms_and_neighbours(text):
    pytest.importorskip("rdkit", reason="rdkit, of the extra 'molecules', is not installed")
    ours, theirs = smiles.read(text), smiles.read_by_rdkit(text)
    assert [a._replace(aromatic=False) for a in ours.atoms] == [
        a._replace(aromatic=False) for a in theirs.atoms
    ]
    assert {frozenset(b[:2]) for b in ours.bonds} == {frozenset(b[:2]) for b in theirs.bonds}


@pytest.mark.skipif(importlib.util.find_spec("rdkit") is not None, reason="rdkit is installed")
def test_a_missing_reader_is_named():
    with pytest.raises(ConfigError, match="needs the package rdkit"):
        made(preprocessing.molecule_graph(reader="rdkit"), {"text": "C"})


def test_a_molecule_becomes_a_graph():
    found = made(preprocessing.molecule_graph(), {"text": b"C[N+]#[Fe]", "target": 1.0})
    assert sorted(found) == ["edge_features", "edges", "node_kind", "nodes", "target"]
    unknown = len(molecules.ELEMENTS)
    np.testing.assert_array_equal(found["node_kind"], [1, 2, unknown])
    assert found["nodes"].shape == (3, unknown + 1 + 6 + 6 + 2)
    assert np.flatnonzero(found["nodes"][1]).tolist() == [2, 18 + 2, 24 + 0, 30]
    np.testing.assert_array_equal(found["edges"], [[0, 1], [1, 2], [1, 0], [2, 1]])
    np.testing.assert_array_equal(found["edge_features"].argmax(1), [SINGLE, TRIPLE] * 2)
    alone = made(preprocessing.molecule_graph(), {"text": "C"})
    assert (alone["edges"].shape, alone["edge_features"].shape) == ((0, 2), (0, 4))


def test_distances_take_the_place_of_positions():
    places = np.array([[0, 0, 0], [0, 0, 1], [0, 2, 1]], np.float32)
    edges = np.array([[0, 1], [1, 0]], np.int32)
    near = made(preprocessing.distances(3, 2.0), {"positions": places, "edges": edges})
    np.testing.assert_array_equal(near["edges"], edges)
    expected = [np.exp(-1), 1, np.exp(-1), 1]
    np.testing.assert_allclose(near["edge_features"], [expected] * 2, rtol=1e-6)
    every = made(preprocessing.distances(3, 2.0, cutoff=2.1), {"positions": places, "edges": edges})
    assert "positions" not in every
    assert {tuple(x) for x in every["edges"].tolist()} == {(0, 1), (1, 0), (1, 2), (2, 1)}
    was = {tuple(e): x[-1] for e, x in zip(every["edges"].tolist(), every["edge_features"])}
    assert was == {(0, 1): 1, (1, 0): 1, (1, 2): 0, (2, 1): 0}
    # A turned and moved molecule is the same.
    turned = places[:, [1, 2, 0]] * [1, -1, 1] + 5
    again = made(preprocessing.distances(3, 2.0), {"positions": turned, "edges": edges})
    np.testing.assert_allclose(again["edge_features"], near["edge_features"], atol=1e-6)
    with pytest.raises(ConfigError, match="cutoff=-1"):
        preprocessing.distances(cutoff=-1.0)


def test_chemical_accuracy_is_the_unit_of_a_property():
    target = np.zeros(15, np.float32)
    target[7], target[14] = 1.0, 3.0
    operation = preprocessing.chemical_accuracy(("heat_capacity", "gap"))
    found = made(operation, {"target": target})["target"]
    np.testing.assert_allclose(found, [3 / 0.05, 27.211386 / 0.043], rtol=1e-6)
    assert set(molecules.ACCURACIES) == set(molecules.QM9_PROPERTIES) - {"a", "b", "c"}
    with pytest.raises(ConfigError, match="did you mean 'gap'"):
        preprocessing.chemical_accuracy(("gab",))


def test_the_names_of_elements_are_different():
    assert all(a != b for a, b in itertools.combinations(molecules.ELEMENTS, 2))
