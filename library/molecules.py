"""Facts about molecules: elements, and the properties of QM9 with their chemical accuracy."""

# Elements of molecules in this project's data sets; an atom of another element has the next number.
ELEMENTS = (
    *("H", "C", "N", "O", "F", "P", "S", "Cl", "Br", "I", "B"),
    *("Si", "Se", "Na", "K", "Ca", "As"),
)
# The properties in the order of the data set qm9.
QM9_PROPERTIES = (
    *("a", "b", "c", "dipole", "polarizability", "homo", "lumo", "gap"),
    *("r2", "zpve", "u0", "u", "h", "g", "heat_capacity"),
)
_ELECTRONVOLTS = 27.211386  # of a hartree
# Chemical accuracy in the units of the data set: Gilmer et al. 2017 (arXiv 1704.01212), table 6,
# states 0.1 debye, 0.1 bohr^3, 0.043 eV, 1.2 bohr^2, 0.0012 eV and 0.050 cal/mol/K.
ACCURACIES = {
    "dipole": 0.1,
    "polarizability": 0.1,
    **dict.fromkeys(("homo", "lumo", "gap"), 0.043 / _ELECTRONVOLTS),
    "r2": 1.2,
    "zpve": 0.0012 / _ELECTRONVOLTS,
    **dict.fromkeys(("u0", "u", "h", "g"), 0.043 / _ELECTRONVOLTS),
    "heat_capacity": 0.05,
}


def element_number(symbol: str) -> int:
    """Returns the number of an element, that after the last for an element not in ELEMENTS."""
    return ELEMENTS.index(symbol) if symbol in ELEMENTS else len(ELEMENTS)
