"""The makers of `generate`: one file per output of a task, found by the output's name.

`library/apps/outputs/NAME.py` has a function `NAME(trained, output, folder, *, ...)`. It computes
the output NAME of a restored run, and writes the result into a folder. Its function `of_files`, if
there is one, does the same for image files. Outputs without a file are images, see sample.py. A
file that makes more of another output of the task names it as `READS`.

The arguments after the star are the flags that a function reads. `generate` defines each flag that
it does not have yet, with the type and the default of the signature, and refuses a flag that is not
among them.

The functions import modules only when called, because `generate` reads all signatures before it
knows which function it needs.
"""

import importlib
from collections.abc import Callable
from pathlib import Path

# The default output of `generate` is the first of these that a task has.
USUAL = (
    *("probabilities", "generate", "translate", "music", "caption"),
    *("sample", "detections", "restored", "overlay"),
)


def names() -> list[str]:
    """Lists the outputs that have a file."""
    return sorted(p.stem for p in Path(__file__).parent.glob("*.py") if p.stem != "__init__")


def makers() -> list[Callable]:
    """Lists the functions of all outputs, whose signatures say which flags they read."""
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names()]
    own = [getattr(module, module.__name__.rpartition(".")[2]) for module in modules]
    return [*own, *(module.of_files for module in modules if hasattr(module, "of_files"))]


def needed(output: str) -> str:
    """Returns the task's output that an output is made from, mostly itself."""
    if output not in names():
        return output
    return getattr(importlib.import_module(f"{__name__}.{output}"), "READS", output)


def maker(output: str, *, files: bool) -> Callable:
    """Returns the function of an output, `(trained, output, folder, *, ...)`.

    Args:
      output: the name of the output; outputs without their own file are images.
      files: whether the inputs are image files.
    """
    name = output if output in names() else "sample"
    module = importlib.import_module(f"{__name__}.{name}")
    return getattr(module, "of_files" if files and hasattr(module, "of_files") else name)
