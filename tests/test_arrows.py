"""Imports between the rooms of the house point one way: ARCHITECTURE.md draws them."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# What each room may import beside itself and the ground, the modules of library/ itself.
METHODS = (
    *("adversarial_examples", "audio", "compression", "diffusion"),
    *("object_detection", "object_tracking"),
)
SYSTEMS = {"layers", "models", "tasks", "evaluation", "weights", *METHODS}
RUN = {*SYSTEMS, "data", "optim", "parallel", "reporting", "run"}
MAY_IMPORT = {
    "ground": set(),
    "layers": set(),
    "optim": set(),
    "reporting": set(),
    **{method: {"layers"} for method in METHODS},
    "object_tracking": {"object_detection"},
    "parallel": {"layers"},
    "data": {"parallel", "audio"},
    "models": {"layers"},
    "weights": {"layers", "models", "data"},
    "tasks": {"layers", "models", "optim", *METHODS},
    "evaluation": {"layers", "models", "weights", *METHODS},
    "run": RUN,
    "apps": {*RUN, "apps"},
    "configs": set(),
    "experiments": {*RUN, "apps"},
    "launch": {*RUN, "experiments"},
}
FILES = sorted(
    path
    for top in ("library", "experiments", "configs", "launch")
    for path in (ROOT / top).rglob("*.py")
)


def room(module):
    """Returns the room of a module of the project by its dotted name, None for others."""
    top, _, rest = module.partition(".")
    if top == "library":
        below = ROOT / "library" / rest.partition(".")[0]
        return rest.partition(".")[0] if rest and below.is_dir() else "ground"
    return top if top in MAY_IMPORT else None


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_each_import_points_down():
    wrong = []
    for path in FILES:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        own = room(name.removesuffix(".__init__"))
        for module in imported(path):
            to = room(module)
            if to not in (None, own, "ground") and to not in MAY_IMPORT[own]:
                wrong.append(f"{name} imports {module}: {own} -> {to}")
    assert wrong == []


@pytest.mark.parametrize("room", [r for r in MAY_IMPORT if (ROOT / "library" / r).is_dir()])
def test_no_two_rooms_import_each_other(room):
    assert not [other for other in MAY_IMPORT[room] - {room} if room in MAY_IMPORT[other]]


def test_each_folder_of_the_library_is_a_room():
    folders = {p.name for p in (ROOT / "library").iterdir() if (p / "__init__.py").is_file()}
    assert folders == set(MAY_IMPORT) - {"ground", "configs", "experiments", "launch"}
