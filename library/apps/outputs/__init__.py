"""What `generate` makes of a task's outputs: a file an output, found by its name.

`library/apps/outputs/NAME.py` has a function `NAME(trained, output, folder, *, ...)` that makes
something of the output NAME of a restored run, and writes it into a folder; `of_files`, if it has
one, does so of image files. Outputs that have no file are images, see sample.py. The arguments
after the star are the flags that it reads: one that `generate` does not have becomes one, of the
type and with the default that the signature says, and a flag that is not among them is refused.

These files import what they need where they need it: `generate` reads their signatures before it
knows which is wanted.
"""

import importlib
from collections.abc import Callable
from pathlib import Path

# What is made where nothing is asked for: the first that a task has.
USUAL = ("probabilities", "generate", "sample")


def names() -> list[str]:
    """Lists the outputs that have a file."""
    return sorted(p.stem for p in Path(__file__).parent.glob("*.py") if p.stem != "__init__")


def makers() -> list[Callable]:
    """Lists all that makes something, for the flags that it reads."""
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names()]
    own = [getattr(module, module.__name__.rpartition(".")[2]) for module in modules]
    return [*own, *(module.of_files for module in modules if hasattr(module, "of_files"))]


def maker(output: str, *, files: bool) -> Callable:
    """Returns what makes something of an output, `(trained, output, folder, *, ...)`.

    Args:
      output: the name of the output; one without a file of its own is of images.
      files: whether it is of image files.
    """
    name = output if output in names() else "sample"
    module = importlib.import_module(f"{__name__}.{name}")
    return getattr(module, "of_files" if files and hasattr(module, "of_files") else name)
