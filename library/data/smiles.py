"""SMILES: molecules as text (Weininger 1988), read as atoms and bonds.

`read` is this project's own reader. It reads atoms with and without brackets, bonds, branches,
rings and parts that are not bonded. Its limits: aromatic atoms and bonds are those that the text
writes in small letters, so that benzene as C1=CC=CC=C1 has double bonds; it does not check whether
valences are possible; and it leaves out stereochemistry, isotopes and classes of atoms. Hydrogen
without brackets is counted by the usual valences. `read_by_rdkit` has none of these limits, but
needs the package rdkit.
"""

import re
from typing import NamedTuple

from library.config import ConfigError

SINGLE, DOUBLE, TRIPLE, AROMATIC = range(4)
# The usual valences of atoms that are written without brackets.
_VALENCES = {
    "B": (3,),
    "C": (4,),
    "N": (3, 5),
    "O": (2,),
    "P": (3, 5),
    "S": (2, 4, 6),
    **dict.fromkeys(("F", "Cl", "Br", "I"), (1,)),
    "*": (),
}
_BONDS = {"-": SINGLE, "=": DOUBLE, "#": TRIPLE, ":": AROMATIC, "/": SINGLE, "\\": SINGLE}
_ORDERS = {SINGLE: 1, DOUBLE: 2, TRIPLE: 3, AROMATIC: 1}
_TOKEN = re.compile(
    r"(?P<atom>Br|Cl|[BCNOPSFI*]|[bcnops])|\[(?P<bracket>[^\]]*)\]|(?P<bond>[-=#:/\\])"
    r"|(?P<ring>\d|%\d\d)|(?P<other>[().])"
)
_BRACKET = re.compile(
    r"\d*(?P<symbol>[A-Z][a-z]?|[a-z][a-z]?|\*)@{0,2}(?:H(?P<hydrogens>\d*))?"
    r"(?P<charge>\+\d+|-\d+|\++|-+)?(?::\d+)?"
)


class Atom(NamedTuple):
    """An atom.

    Attributes:
      symbol: the element, "C" or "Cl"; hydrogen only where the text has it as an atom.
      aromatic: whether it is aromatic.
      charge: the formal charge.
      hydrogens: the number of hydrogen atoms at it that are no atoms of their own.
    """

    symbol: str
    aromatic: bool
    charge: int
    hydrogens: int


class Molecule(NamedTuple):
    """Atoms, and bonds (first atom, second atom, kind), each once."""

    atoms: list[Atom]
    bonds: list[tuple[int, int, int]]


def read(text: str) -> Molecule:
    """Reads a molecule.

    Raises:
      ValueError: the text is no SMILES, or has what this reader does not know.
    """
    reader, place = _Reader(text), 0
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None:
            raise ValueError(f"{text!r}: unknown {text[place]!r} at place {place} of a SMILES")
        reader.take(found)
        place = found.end()
    return reader.molecule()


def read_by_rdkit(text: str) -> Molecule:
    """Reads a molecule with RDKit, which also finds out what is aromatic.

    Raises:
      ConfigError: rdkit is not installed.
      ValueError: RDKit does not take the text for a molecule.
    """
    try:
        from rdkit import Chem, rdBase
    except ImportError as error:
        raise ConfigError(
            "reader='rdkit' needs the package rdkit: pip install 'compendium[molecules]'; "
            "nearest: reader='own'"
        ) from error
    with rdBase.BlockLogs():
        found = Chem.MolFromSmiles(text)
    if found is None:
        raise ValueError(f"{text!r}: RDKit does not take this for a molecule")
    kinds = {"SINGLE": SINGLE, "DOUBLE": DOUBLE, "TRIPLE": TRIPLE, "AROMATIC": AROMATIC}
    atoms = [
        Atom(x.GetSymbol(), x.GetIsAromatic(), x.GetFormalCharge(), x.GetTotalNumHs())
        for x in found.GetAtoms()
    ]
    bonds = [
        (x.GetBeginAtomIdx(), x.GetEndAtomIdx(), kinds.get(str(x.GetBondType()), SINGLE))
        for x in found.GetBonds()
    ]
    return Molecule(atoms, bonds)


class _Reader:
    """A SMILES that is read from left to right."""

    def __init__(self, text: str):
        self.text = text
        self.atoms: list[Atom] = []
        # Whether an atom was written without brackets, so that its hydrogen is counted.
        self.counted: list[bool] = []
        self.bonds: list[tuple[int, int, int]] = []
        self.last: int | None = None
        self.bond: int | None = None
        self.branches: list[int | None] = []
        self.rings: dict[str, tuple[int, int | None]] = {}

    def take(self, token: re.Match) -> None:
        kind, value = token.lastgroup, token[token.lastgroup]
        if kind == "atom":
            self.add(Atom(value.capitalize(), value.islower(), 0, 0), True)
        elif kind == "bracket":
            self.add(_of_bracket(value, self.text), False)
        elif kind == "bond":
            self.bond = _BONDS[value]
        elif kind == "ring":
            self.close(value.removeprefix("%").lstrip("0"))
        elif value == "(":
            self.branches.append(self.last)
        elif value == ")":
            if not self.branches:
                raise ValueError(f"{self.text!r}: a branch ends that has not begun")
            self.last = self.branches.pop()
        else:
            self.last = None

    def add(self, atom: Atom, counted: bool) -> None:
        self.atoms.append(atom)
        self.counted.append(counted)
        if self.last is not None:
            self.join(self.last, len(self.atoms) - 1, self.bond)
        self.last, self.bond = len(self.atoms) - 1, None

    def close(self, number: str) -> None:
        if self.last is None:
            raise ValueError(f"{self.text!r}: ring {number} begins without an atom")
        if number not in self.rings:
            self.rings[number] = (self.last, self.bond)
        else:
            other, bond = self.rings.pop(number)
            self.join(other, self.last, self.bond if bond is None else bond)
        self.bond = None

    def join(self, a: int, b: int, kind: int | None) -> None:
        if kind is None:
            both = self.atoms[a].aromatic and self.atoms[b].aromatic
            kind = AROMATIC if both else SINGLE
        self.bonds.append((a, b, kind))

    def molecule(self) -> Molecule:
        if self.branches or self.rings:
            raise ValueError(f"{self.text!r}: a branch or a ring does not end")
        if not self.atoms:
            raise ValueError(f"{self.text!r}: there is no atom")
        orders = [0] * len(self.atoms)
        for a, b, kind in self.bonds:
            orders[a] += _ORDERS[kind]
            orders[b] += _ORDERS[kind]
        atoms = [
            atom._replace(hydrogens=_hydrogens(atom, order)) if counted else atom
            for atom, order, counted in zip(self.atoms, orders, self.counted)
        ]
        return Molecule(atoms, self.bonds)


def _hydrogens(atom: Atom, order: int) -> int:
    """Returns the hydrogen atoms that an atom lacks; an aromatic one has one bond more."""
    order += atom.aromatic
    # An aromatic atom has only its first valence: that of pyridine and thiophene, not of acids.
    valences = _VALENCES[atom.symbol][: 1 if atom.aromatic else None]
    return next((valence - order for valence in valences if valence >= order), 0)


def _of_bracket(value: str, text: str) -> Atom:
    found = _BRACKET.fullmatch(value)
    if found is None:
        raise ValueError(f"{text!r}: unknown atom [{value}] of a SMILES")
    symbol, hydrogens, charge = found["symbol"], found["hydrogens"], found["charge"] or ""
    size = int(charge[1:]) if charge[1:].isdigit() else len(charge)
    return Atom(
        symbol.capitalize(),
        symbol.islower(),
        -size if charge.startswith("-") else size,
        0 if hydrogens is None else int(hydrogens or 1),
    )
