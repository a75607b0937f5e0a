"""Molecules as matrices: which may exist, and one form for all orders of the atoms."""

import itertools

import numpy as np
import pytest

from library import molecular_graphs
from library.data import preprocessing
from library.rng import host_generator

DRAWS = host_generator(0, "preprocess", 0)


def molecule(text):
    found = preprocessing.molecule_matrices()({"text": text}, DRAWS)
    return found["atoms"], found["bonds"]


def changed(text, *entries):
    """Returns a molecule with other bonds, (atom, atom, kind) each."""
    atoms, bonds = molecule(text)
    for a, b, kind in entries:
        bonds[a, b] = bonds[b, a] = kind
    return atoms, bonds


@pytest.mark.parametrize("text", ["C", "CC#N", "c1ccccc1", "c1cc[nH]c1", "C1CC1", "FC=O", "CN=C=O"])
def test_molecules_may_exist(text):
    assert molecular_graphs.is_valid(*molecule(text))


IMPOSSIBLE = {
    "two parts": molecule("C.C"),
    "fluorine": changed("FC", (0, 1, 2)),
    "carbon": changed("C=C=C", (0, 1, 3)),
    "no ring": changed("CC", (0, 1, 4)),
    "nothing": (np.zeros(9, int), np.zeros((9, 9), int)),
    "oxygen": changed("OO", (0, 1, 3)),
}


@pytest.mark.parametrize("name", list(IMPOSSIBLE))
def test_molecules_may_not_exist(name):
    assert not molecular_graphs.is_valid(*IMPOSSIBLE[name])


def test_a_bond_to_no_atom_does_not_count():
    assert molecular_graphs.is_valid(*changed("FC", (0, 2, 3)))


def test_the_order_of_the_atoms_does_not_matter():
    atoms, bonds = molecule("CC1CC1N")
    forms = set()
    for order in itertools.permutations(range(5)):
        order = [*order, 5, 6, 7, 8]
        forms.add(molecular_graphs.canonical(atoms[order], bonds[order][:, order]))
    assert len(forms) == 1


def test_other_molecules_have_other_forms():
    """Among them two rings of three and a ring of six, which colours of neighbours cannot tell."""
    texts = ["CCO", "COC", "C=CO", "CCN", "CC", "C1CC1.C1CC1", "C1CCCCC1", "C1CC1C1CC1", "OCCO"]
    forms = [molecular_graphs.canonical(*molecule(text)) for text in texts]
    assert len(set(forms)) == len(texts)
    assert molecular_graphs.canonical(*molecule("OCC")) == forms[0]
    assert molecular_graphs.canonical(*molecule("C1CCCCC1")) == forms[6]


def test_matrices_of_what_does_not_fit_are_refused():
    atoms, bonds = molecule("C#CO")
    assert atoms.tolist() == [1, 1, 3] + [0] * 6
    assert (bonds[0, 1], bonds[1, 2], bonds.sum()) == (3, 1, 8)
    as_bytes = preprocessing.molecule_matrices()({"text": b"C#CO"}, DRAWS)
    np.testing.assert_array_equal(as_bytes["bonds"], bonds)
    for text in ("CCCCCCCCCC", "CS"):
        with pytest.raises(ValueError, match="valid are 9 or less of C, N, O, F"):
            molecule(text)
