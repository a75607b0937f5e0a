"""Finds systems: `python -m experiments.catalogue [WORDS]`.

It prints the systems that match all words, in upper or lower case. A word may be a name, a year, an
author, a use, a dataset, a model or a task.

    python -m experiments.catalogue make images
    python -m experiments.catalogue 2015 cifar10

`--write` writes all systems to SYSTEMS.md.
"""

from pathlib import Path

from absl import flags

from experiments import command_line, recipes
from library.config import ConfigError, nearest

_WRITE = flags.DEFINE_bool("write", False, "Write SYSTEMS.md.")


def main() -> int:
    """Prints the systems that match the words."""
    from rich.console import Console

    from library.reporting import systems

    known, words = recipes.all_systems(), command_line.words()
    if _WRITE.value:
        if words:
            raise ConfigError(f"--write writes all systems: leave out {' '.join(words)!r}")
        print(write(known))
        return 0
    found = systems.matching(known, words)
    if not found:
        raise ConfigError(
            f"no system matches {' '.join(words)!r}: {nearest(words[0], _uses(known))}"
        )
    console = Console(width=None if Console().is_terminal else 200)
    console.print(systems.table(found))
    return 0


def write(known: list) -> Path:
    """Writes SYSTEMS.md and returns its path."""
    from library import files
    from library.reporting import systems

    return files.write(recipes.ROOT / "SYSTEMS.md", systems.page(known))


def _uses(known: list) -> list[str]:
    return list(dict.fromkeys(word for system in known for word in (system.use, system.name)))


if __name__ == "__main__":
    command_line.run(main, configurable=False, words=("words...",))
