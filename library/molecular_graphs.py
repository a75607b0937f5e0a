"""Molecules as small matrices: whether one may exist, and a form that is the same for all orders.

A molecule of up to k heavy atoms is `atoms` (k,), 0 for none and then the number of its element in
HEAVY, from 1; and `bonds` (k, k), symmetric, 0 for none and then single, double, triple and
aromatic. Hydrogen fills what valences are left and is not written.
"""

import numpy as np
from jaxtyping import Int

HEAVY = ("C", "N", "O", "F")
BONDS = ("none", "single", "double", "triple", "aromatic")
AROMATIC = BONDS.index("aromatic")
# The usual valence of each element, none first.
_VALENCES = np.array([0, 4, 3, 2, 1])
# What a bond takes of it; an aromatic atom has one more.
_ORDERS = np.array([0, 1, 2, 3, 1])

Form = tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]


def without_gaps(
    atoms: Int[np.ndarray, " k"], bonds: Int[np.ndarray, "k k"]
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, "n n"]]:
    """Returns the atoms that are there and the bonds between them."""
    there = atoms > 0
    return atoms[there], bonds[there][:, there]


def is_valid(atoms: Int[np.ndarray, " k"], bonds: Int[np.ndarray, "k k"]) -> bool:
    """Returns whether the atoms that are there are one molecule that keeps the usual valences.

    It has an atom or more, all are connected, no atom has more bonds than its usual valence
    without charge, and an aromatic bond is in a ring of aromatic bonds. The rule is this project's
    own: it refuses charged atoms, and takes some rings that chemists do not call aromatic.
    """
    atoms, bonds = without_gaps(atoms, bonds)
    if not len(atoms) or not _connected(bonds > 0):
        return False
    aromatic = bonds == AROMATIC
    order = _ORDERS[bonds].sum(1) + aromatic.any(1)
    if np.any(order > _VALENCES[atoms]):
        return False
    return all(_in_ring(aromatic, a, b) for a, b in np.argwhere(np.triu(aromatic)))


def canonical(atoms: Int[np.ndarray, " k"], bonds: Int[np.ndarray, "k k"]) -> Form:
    """Returns a form that two molecules share if and only if they are the same graph.

    Colours of atoms are refined by those of their neighbours. Where atoms have the same colour,
    each is tried as the first of them, and the smallest form is taken.
    """
    atoms, bonds = without_gaps(atoms, bonds)
    return _smallest(atoms, bonds, _refined(atoms.tolist(), bonds))


def _smallest(atoms: np.ndarray, bonds: np.ndarray, colour: list[int]) -> Form:
    counts = np.bincount(colour, minlength=len(colour)) if colour else np.zeros(0, int)
    shared = np.flatnonzero(counts > 1)
    if not len(shared):
        order = np.argsort(colour)
        rows = bonds[order][:, order].tolist()
        return tuple(atoms[order].tolist()), tuple(map(tuple, rows))
    forms = []
    for atom in np.flatnonzero(np.array(colour) == shared[0]):
        # One atom comes before those that it shares its colour with.
        split = [2 * c + 1 for c in colour]
        split[atom] -= 1
        forms.append(_smallest(atoms, bonds, _refined(split, bonds)))
    return min(forms)


def _refined(colour: list[int], bonds: np.ndarray) -> list[int]:
    """Returns colours from 0 that tell apart whatever neighbours tell apart, in a fixed order."""
    rows = bonds.tolist()
    while True:
        known = [
            (own, *sorted((kind, colour[j]) for j, kind in enumerate(row) if kind))
            for own, row in zip(colour, rows)
        ]
        places = {each: place for place, each in enumerate(sorted(set(known)))}
        found = [places[each] for each in known]
        if len(places) == len(set(colour)):
            return found
        colour = found


def _connected(joined: np.ndarray) -> bool:
    return bool(_reached(joined, 0).all())


def _in_ring(joined: np.ndarray, a: int, b: int) -> bool:
    """Returns whether there is a way from a to b besides their own bond."""
    others = joined.copy()
    others[a, b] = others[b, a] = False
    return bool(_reached(others, a)[b])


def _reached(joined: np.ndarray, start: int) -> np.ndarray:
    reached = np.arange(len(joined)) == start
    for _ in range(len(joined)):
        reached = reached | joined[reached].any(0)
    return reached
