"""The recipes of configs/, and the systems that they train."""

from experiments.config_files import ROOT, described, load_config


def all_systems() -> list:
    """Returns the systems of configs/ with the records of results/."""
    from library.reporting import results, systems

    files = sorted(path.relative_to(ROOT) for path in (ROOT / "configs").glob("*/*.py"))
    recipes = [recipe(str(file)) for file in files]
    return systems.systems(recipes, results.read_records(ROOT / "results"))


def recipe(file: str):
    """Reads the models, tasks and datasets of a config file, in all its variants."""
    from library.reporting.systems import Recipe

    doc, variants = described(file)
    loaded = [load_config(f"{file}:{name}")[0] for name in variants or ("",)]

    def names(section):
        found = [_names(values.get(section, {})) for values in loaded]
        return tuple(dict.fromkeys(name for each in found for name in each))

    return Recipe(file, doc, variants, names("model"), names("task"), names("dataset"))


def _names(spec: dict) -> list[str]:
    """Returns the name of a spec, or the names of its players, parts or sources."""
    if spec.get("name"):
        return [spec["name"]]
    parts = {**spec, **(spec.get("sources") or {})}.values()
    return [part["name"] for part in parts if isinstance(part, dict) and part.get("name")]
