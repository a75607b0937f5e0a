"""Finds systems: `python -m experiments.catalogue [WORDS]`.

It lists what every word fits, in whatever case: a name, a year, an author, what a system is for, a
data set, a model or a task.

    python -m experiments.catalogue make images
    python -m experiments.catalogue 2015 cifar10

`--write` writes all of it to SYSTEMS.md.
"""

from pathlib import Path

from absl import flags

from experiments import command_line, config_files
from library.config import ConfigError, nearest

_ROOT = config_files.ROOT
_WRITE = flags.DEFINE_bool("write", False, "Write SYSTEMS.md.")


def main() -> int:
    """Prints the systems that the words fit."""
    from rich.console import Console

    from library.reporting import systems

    known, words = all_systems(), command_line.words()
    if _WRITE.value:
        if words:
            raise ConfigError(f"--write takes every system: leave out {' '.join(words)!r}")
        print(write(known))
        return 0
    found = systems.matching(known, words)
    if not found:
        raise ConfigError(f"no system fits {' '.join(words)!r}: {nearest(words[0], _uses(known))}")
    console = Console(width=None if Console().is_terminal else 200)
    console.print(systems.table(found))
    return 0


def all_systems() -> list:
    """Returns the systems of configs/ with the records of results/."""
    from library.reporting import results, systems

    files = sorted(path.relative_to(_ROOT) for path in (_ROOT / "configs").glob("*/*.py"))
    recipes = [recipe(str(file)) for file in files]
    return systems.systems(recipes, results.read_records(_ROOT / "results"))


def recipe(file: str):
    """Reads what a config file trains, in all its variants."""
    from library.reporting.systems import Recipe

    doc, variants = config_files.described(file)
    loaded = [config_files.load_config(f"{file}:{name}")[0] for name in variants or ("",)]

    def names(section):
        found = [_names(values.get(section, {})) for values in loaded]
        return tuple(dict.fromkeys(name for each in found for name in each))

    return Recipe(file, doc, variants, names("model"), names("task"), names("dataset"))


def write(known: list) -> Path:
    """Writes SYSTEMS.md and returns its path."""
    from library import files
    from library.reporting import systems

    return files.write(_ROOT / "SYSTEMS.md", systems.page(known))


def _names(spec: dict) -> list[str]:
    """Returns the name of a spec, or those of its players or parts."""
    if "name" in spec:
        return [spec["name"]]
    return [part["name"] for part in spec.values() if isinstance(part, dict) and "name" in part]


def _uses(known: list) -> list[str]:
    return list(dict.fromkeys(word for system in known for word in (system.use, system.name)))


if __name__ == "__main__":
    command_line.run(main, configurable=False, words=("words...",))
