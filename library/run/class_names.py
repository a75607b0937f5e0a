"""The classes of a run: those of its dataset, or those of them that its preprocessing keeps."""

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from library import config
from library.config import ConfigError
from library.run.data_record import DataRecord


def kept(
    preprocess: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    task: Mapping[str, Any],
    features: Iterable[str],
) -> list[int] | None:
    """Returns the number in the dataset of each class of a run; None if the run has all of them.

    Args:
      preprocess: the section of the run's config, as are its task.
      task: the section with the name of the task.
      features: the names of the features after the preprocessing. The classes of a `label` are all.

    Raises:
      ConfigError: of several `keep_classes`, a later one keeps a class that the others do not have.
    """
    specs = preprocess["test"] if isinstance(preprocess, Mapping) else preprocess
    keeping = [spec for spec in specs if spec["name"] == "keep_classes"]
    found = None
    for spec in () if "label" in features else keeping:
        if spec.get("key", "boxes") == _target(task):
            chosen = list(spec["classes"])
            found = chosen if found is None else [_entry(found, number) for number in chosen]
    return found


def names(
    preprocess: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    task: Mapping[str, Any],
    features: Iterable[str],
    label_names: Sequence[str] | None,
) -> tuple[str, ...] | None:
    """Returns the names of the classes of a run, from those of its dataset; None if unknown.

    The arguments are those of `kept`, and the names.

    Raises:
      ConfigError: `keep_classes` keeps a class that the dataset does not have.
    """
    numbers = kept(preprocess, task, features)
    if label_names is None or numbers is None:
        return None if label_names is None else tuple(label_names)
    return tuple(_entry(label_names, number) for number in numbers)


def of_run(values: Mapping[str, Any], record: DataRecord) -> tuple[str, ...] | None:
    """Returns the names of the classes of a run, from its config and its data record."""
    given = values.get("preprocess") or ()
    return names(given, values["task"], record.features, record.label_names)


def _entry(classes: Sequence[Any], number: int) -> Any:
    if not 0 <= number < len(classes):
        raise ConfigError(
            f"keep_classes: there is no class {number}; valid are 0 to {len(classes) - 1}"
        )
    return classes[number]


def _target(task: Mapping[str, Any]) -> str | None:
    """Returns the feature that a task learns, by its argument `target`; None if it has none."""
    function = config.locate(task["name"], "library.tasks", "task")
    parameter = inspect.signature(function).parameters.get("target")
    return None if parameter is None else task.get("target", parameter.default)
