"""Strict reading of configs: turns names into objects and checks every value before a run starts.

A spec is a dict `dict(name="module.function", **arguments)`. The function's own signature is the
schema. An argument that the function does not take, a value of the wrong type and an unknown name
are errors. Their messages show the given value and the nearest valid one.
"""

import dataclasses
import difflib
import importlib
import inspect
import json
import math
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from library import former_names

UNITS = ("steps", "epochs", "examples", "%")
_DURATION = re.compile(r"\s*(\d[\d_]*(?:\.\d+)?(?:e\d+)?)\s*([A-Za-z]\w*|%)\s*")
_COUNTS = re.compile(
    r"(^|_)(num|size|sizes|width|widths|depth|features|groups|heads|workers|threads|channels"
    r"|accumulate|keep)($|_)"
)
_MAY_BE_ZERO = ("num_workers", "workers")

# Names of settings in other projects. "section.name" is the setting `name` of that section.
_SYNONYMS = {
    "lr": ("learning_rate", "optimizer.learning_rate"),
    "wd": ("weight_decay", "optimizer.weight_decay"),
    "bs": ("batch_size", "dataset.batch_size"),
    "bsz": ("batch_size", "dataset.batch_size"),
    "learning_rate": ("optimizer.learning_rate",),
    "weight_decay": ("optimizer.weight_decay",),
    "batch_size": ("dataset.batch_size",),
    "epochs": ("total",),
    "num_epochs": ("total",),
    "steps": ("total",),
    "num_steps": ("total",),
    "opt": ("optimizer",),
    "data": ("dataset",),
}

# The annotation of settings that `duration` reads.
Duration = typing.NewType("Duration", str)


class ConfigError(ValueError):
    """A config, a command or an input file is invalid; nothing was started or written."""


class MisfitError(ConfigError):
    """The parts of a config do not fit together; the cause is the error of the trace."""


def nearest(value: Any, options: Iterable[Any]) -> str:
    """Renders "did you mean 'x'? (valid: ...)" for a value that is not among `options`."""
    options = [str(option) for option in options]
    known = [s for s in _SYNONYMS.get(str(value), ()) if s.partition(".")[0] in options]
    # People write "resnet18" as well as "resnet.resnet18".
    tails = {option.rpartition(".")[2]: option for option in options}
    close = known or difflib.get_close_matches(str(value), options, n=1, cutoff=0.5)
    close = close or [tails[t] for t in difflib.get_close_matches(str(value), tails, 1, 0.6)]
    close = close or [o for o in options if len(str(value)) > 2 and str(value) in o]
    shown = ", ".join(options[:24]) + (", ..." if len(options) > 24 else "")
    listing = f"(valid: {shown})" if options else "(there are none)"
    return f"did you mean {close[0]!r}? {listing}" if close else listing


def check_choice(what: str, value: Any, options: Iterable[Any]) -> None:
    """Raises ConfigError unless `value` is one of `options`."""
    options = list(options)
    if value not in options:
        raise ConfigError(f"unknown {what} {value!r}: {nearest(value, options)}")


def class_number(text: str, names: Sequence[str], where: str) -> int:
    """Returns the number of a class from its number or its name.

    Raises:
      ConfigError: there is no such class. The message starts with `where`.
    """
    numbers = {str(i): i for i in range(len(names))} | {n: i for i, n in enumerate(names)}
    if text not in numbers:
        raise ConfigError(f"{where}: valid are 0 to {len(names) - 1}; {nearest(text, names)}")
    return numbers[text]


def available(package: str) -> list[str]:
    """Lists the names that `locate` finds under a package, or in a single module."""
    module = importlib.import_module(package)
    if not hasattr(module, "__path__"):
        return _public_functions(module)
    paths = _modules_below(package)
    names = []
    for path in paths:
        short = path.rpartition(".")[2]
        shown = short if len(_matching(short, paths)) == 1 else path
        for function in _public_functions(importlib.import_module(f"{package}.{path}")):
            names.append(shown if function == short else f"{shown}.{function}")
    return names


def locate(name: str, package: str, what: str) -> Callable:
    """Finds the function that a config names.

    In a package, "a.b" is the function `b` of the file `a.py`, in any folder. "a" is the function
    `a` of `a.py`; without such a file, it is the function `a` of the only file that has one. If
    two files match, the folder is needed, too: "image.a.b". In a single module, `name` is one of
    its functions. Former names work, too: see `library.former_names`.

    Raises:
      ConfigError: no public function has that name, or several have it.
    """
    if not isinstance(name, str):
        raise ConfigError(f"the name of a {what} is a string, got {name!r}")
    module = importlib.import_module(package)
    if not hasattr(module, "__path__"):
        found = [module] if name in _public_functions(module) else []
        attribute = name
    else:
        found, attribute = _defining(name, package)
    if len(found) > 1:
        written = [f"{m.__name__.removeprefix(package + '.')}.{attribute}" for m in found]
        raise ConfigError(
            f"{what} {name!r} is ambiguous: it may be {' or '.join(written)}; write the folder, "
            "too, or rename a file"
        )
    if found:
        return getattr(found[0], attribute)
    if name in former_names.NAMES.get(package, {}):
        return locate(former_names.NAMES[package][name], package, what)
    raise ConfigError(f"unknown {what} {name!r}: {nearest(name, available(package))}")


def _defining(name: str, package: str) -> tuple[list[types.ModuleType], str]:
    """Returns the modules of a package that have the named function, and the function's name."""
    paths = _modules_below(package)
    head, _, attribute = name.rpartition(".")
    modules = [importlib.import_module(f"{package}.{p}") for p in _matching(head or name, paths)]
    found = [module for module in modules if attribute in _public_functions(module)]
    if not found and not head:
        modules = [importlib.import_module(f"{package}.{path}") for path in paths]
        found = [module for module in modules if attribute in _public_functions(module)]
    return found, attribute


def _modules_below(package: str) -> list[str]:
    """Lists the modules of a package and of its subpackages, without the package's own name."""
    (root,) = map(Path, importlib.import_module(package).__path__)
    files = (path.relative_to(root) for path in sorted(root.rglob("*.py")))
    return [".".join(f.with_suffix("").parts) for f in files if not f.name.startswith("_")]


def _matching(head: str, paths: Iterable[str]) -> list[str]:
    return [path for path in paths if path == head or path.endswith(f".{head}")]


def build(spec: Mapping[str, Any], package: str, what: str, **injected: Any) -> Any:
    """Calls the function that `spec["name"]` names with the spec's other values as arguments.

    Args:
      spec: plain values, `dict(name=..., **arguments)`.
      package: the package that has the function, such as "library.models".
      what: the kind of thing, for messages: "model", "task", ...
      **injected: values from the caller. The function gets only those that it takes; a value in
        the spec takes precedence.

    Raises:
      ConfigError: unknown name or argument, a missing argument, a value of the wrong type.
    """
    function, arguments = resolve(spec, package, what, **injected)
    return function(**arguments)


def resolve(
    spec: Mapping[str, Any], package: str, what: str, **injected: Any
) -> tuple[Callable, dict[str, Any]]:
    """Returns the function and the checked arguments that `build` would call it with."""
    spec = plain(spec)
    if not isinstance(spec, dict):
        raise ConfigError(f"a {what} is written dict(name=..., ...), got {spec!r}")
    if "name" not in spec:
        raise ConfigError(f"a {what} needs a name: {nearest('', available(package))}")
    name = spec.pop("name")
    function = locate(name, package, what)
    taken = inspect.signature(function).parameters
    supplied = {k: v for k, v in injected.items() if k in taken and k not in spec}
    return function, check_arguments(function, spec, f"{what} {name!r}", supplied)


def check_arguments(
    function: Callable, values: Mapping[str, Any], where: str, injected: Mapping[str, Any] = {}
) -> dict[str, Any]:
    """Checks plain values against a function's signature and annotations.

    Returns:
      The keyword arguments. A list becomes a tuple, and an int a float, where the annotation is
      one.

    Raises:
      ConfigError: an unknown or missing argument, a value of the wrong type, a size below one.
    """
    parameters = inspect.signature(function).parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    hidden = set(injected)
    variable = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    options = [n for n, p in parameters.items() if p.kind not in variable and n not in hidden]
    hints = typing.get_type_hints(function)
    checked = dict(injected)
    for key, value in values.items():
        if key not in options and not open_ended:
            raise ConfigError(f"{where} takes no {key!r}: {nearest(key, options)}")
        checked[key] = check_value(value, hints.get(key, Any), f"{where}, {key}")
        _check_count(key, checked[key], where)
    for key in options:
        required = parameters[key].default is inspect.Parameter.empty
        if required and key not in checked:
            raise ConfigError(f"{where} needs {key!r}; given: {sorted(values) or 'nothing'}")
    return checked


def check_value(value: Any, annotation: Any, where: str) -> Any:
    """Returns `value`, converted to `annotation` where that loses nothing.

    Raises:
      ConfigError: the value does not fit the annotation. The message starts with `where`.
    """
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation in (Any, inspect.Parameter.empty) or isinstance(annotation, typing.TypeVar):
        return value
    if origin in (typing.Union, types.UnionType):
        return _check_union(value, arguments, where)
    if annotation is Duration:
        # Only `duration` knows the task's own units.
        _match_duration(value, f"{where}=", strict=False)
        return value
    if origin is typing.Literal:
        if value not in arguments:
            raise ConfigError(f"{where}={value!r}: {nearest(value, arguments)}")
        return value
    if annotation is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    target = origin or annotation
    if not isinstance(target, type):
        return value
    if target in (tuple, list, Iterable) or getattr(target, "__name__", "") == "Sequence":
        if not isinstance(value, (tuple, list)):
            raise ConfigError(f"{where}={value!r} is not a list of values{_as_list(value)}")
        return _check_items(value, target, arguments, where)
    right = isinstance(value, target) and not (isinstance(value, bool) and target is int)
    if target in (int, float, str, bool, dict, Mapping, type(None)) and not right:
        raise ConfigError(
            f"{where}={value!r} is of type {type(value).__name__}, expected {target.__name__}"
        )
    return value


def _check_items(value, target, arguments, where):
    if (len(arguments) == 2 and arguments[1] is Ellipsis) or (target is not tuple and arguments):
        items = [check_value(v, arguments[0], f"{where}[{i}]") for i, v in enumerate(value)]
    elif arguments:
        if len(value) != len(arguments):
            raise ConfigError(f"{where}={value!r} has {len(value)} values, not {len(arguments)}")
        items = [check_value(v, a, where) for v, a in zip(value, arguments)]
    else:
        items = value
    return list(items) if target is list else tuple(items)


def _check_union(value, arguments, where):
    problems = []
    exact = [a for a in arguments if isinstance(a, type) and type(value) is a]
    for argument in (*exact, *arguments):
        try:
            return check_value(value, argument, where)
        except ConfigError as error:
            # An error inside a value of the right kind says more than "expected a or b".
            if _same_kind(value, argument):
                problems.append(error)
    if len(problems) == 1:
        raise problems[0]
    expected = " or ".join(
        "None" if a is type(None) else str(getattr(a, "__name__", a)) for a in arguments
    )
    raise ConfigError(f"{where}={value!r} is of type {type(value).__name__}, expected {expected}")


def _same_kind(value, annotation):
    origin = typing.get_origin(annotation)
    if origin is typing.Literal:
        return any(type(value) is type(option) for option in typing.get_args(annotation))
    # A string in place of a list is most likely a list whose quotes the shell removed.
    return isinstance(value, (list, tuple, str)) and (origin or annotation) in (list, tuple)


def _as_list(value: Any) -> str:
    """Renders advice for a string in place of a list: '[a, b]' should be ["a", "b"]."""
    if not isinstance(value, str):
        return ""
    words = [word.strip(" '\"") for word in value.strip(" []()").split(",")]
    meant = json.dumps([word for word in words if word] or ["a", "b"], ensure_ascii=False)
    return f": write {meant}, on a command line in single quotes, '{meant}'"


def _check_count(key: str, value: Any, where: str) -> None:
    if key in _MAY_BE_ZERO or not _COUNTS.search(key):
        return
    for item in value if isinstance(value, (tuple, list)) else (value,):
        if isinstance(item, int) and not isinstance(item, bool) and item < 1:
            raise ConfigError(f"{where}, {key}={value!r}: sizes and counts are 1 or more")


def duration(
    text: Any,
    *,
    batch_size: int,
    num_examples: int | None,
    total: int | None = None,
    units: Mapping[str, float] = {},
) -> int:
    """Converts "N steps|epochs|examples" or "N%" (of the run) into a number of whole steps.

    An epoch is one pass over the data: each example once, or each token of a text once. Fractions
    of a step are cut off, but a duration above 0 is at least one step.

    Args:
      text: the duration.
      batch_size: examples per step, over all devices.
      num_examples: examples per epoch; None for a run without data.
      total: steps of the whole run, 100%; None where percentages are not allowed.
      units: the task's own units: how many of each, such as "frames", make a step.

    Raises:
      ConfigError: no unit, two units, an unknown unit, a percentage without `total`, or epochs
        without data.
    """
    match = _match_duration(text, units=units)
    # Fractions: in floats, 2.3 epochs of 100 examples are 229.99999999999997.
    number, unit = Fraction(match[1].replace("_", "")), match[2].rstrip("s")
    if unit == "epoch" and num_examples is None:
        raise ConfigError(f"{text!r}: the run has no data and so no epochs; write steps")
    if unit == "%" and total is None:
        raise ConfigError(f"{text!r}: percentages have no meaning here; write steps or epochs")
    steps_a_unit = {
        "step": Fraction(1),
        "epoch": Fraction(num_examples or 0, batch_size),
        "example": Fraction(1, batch_size),
        "%": Fraction(total or 0, 100),
        **{own.rstrip("s"): 1 / Fraction(many) for own, many in units.items()},
    }
    steps = number * steps_a_unit[unit]
    return max(int(steps), 1) if number else 0


def check_finite(value: Any, where: str) -> None:
    """Raises ConfigError if nested plain values hold a number that is not finite."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{where}={value!r} is not finite: write a number, or leave it out")
    items = value.items() if isinstance(value, Mapping) else ()
    items = enumerate(value) if isinstance(value, (list, tuple)) else items
    for key, inner in items:
        check_finite(inner, f"{where}.{key}")


def _match_duration(
    text: Any, where: str = "", units: Iterable[str] = (), strict: bool = True
) -> re.Match:
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    known = (*UNITS, *units)
    if match is not None and match[2].rstrip("s") in {unit.rstrip("s") for unit in known}:
        return match
    # An unknown unit that is no misspelling of `UNITS` may be a unit of the task.
    own = match is not None and not difflib.get_close_matches(match[2], UNITS)
    if strict or not own:
        raise ConfigError(
            f"{where}{text!r} is not a duration: write one number and one unit of "
            f"{', '.join(known)}, as in {_suggest_duration(text)}"
        )
    return match


def _suggest_duration(text: Any) -> str:
    number = re.search(r"\d[\d_]*(\.\d+)?", str(text))
    return ", ".join(f"'{number[0] if number else 10} {unit}'" for unit in ("steps", "epochs"))


def plain(value: Any) -> Any:
    """Copies a ConfigDict, or any nested mappings and sequences, into dicts and lists."""
    if hasattr(value, "to_dict"):
        value = value.to_dict()
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value


def read(cls: type, values: Mapping[str, Any], where: str) -> Any:
    """Builds a dataclass of settings from plain values, which `check_arguments` checks."""
    values = plain(values)
    if not isinstance(values, dict):
        raise ConfigError(f"{where} is written dict(...), got {values!r}")
    return cls(**check_arguments(cls, values, where))


def differing(ours: Mapping[str, Any], theirs: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Lists the dotted keys at which two nested mappings differ, with both values."""
    lines = []
    for key in sorted({*ours, *theirs}):
        a, b, path = ours.get(key), theirs.get(key), f"{prefix}{key}"
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            lines += differing(a, b, f"{path}.")
        elif key not in ours or key not in theirs or plain(a) != plain(b):
            here, there = (repr(held[key]) if key in held else "unset" for held in (ours, theirs))
            lines.append(f"{path}: {here} here, {there} there")
    return lines


def _public_functions(module: types.ModuleType) -> list[str]:
    return [
        name
        for name, value in vars(module).items()
        if callable(value)
        and not isinstance(value, type)
        and not name.startswith("_")
        and getattr(value, "__module__", None) == module.__name__
    ]


def fields(cls: type) -> list[str]:
    """Lists the field names of a dataclass of settings."""
    return [field.name for field in dataclasses.fields(cls)]
