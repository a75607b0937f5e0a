"""Loads config files, and applies the overrides of a command line."""

import ast
import importlib.util
import inspect
import pprint
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from library import former_names
from library.config import ConfigError, nearest, plain

ROOT = Path(__file__).resolve().parents[1]
# A longer list says less; and each file of the list is executed.
_MOST_LISTED = 40


def load_config(
    config: str, overrides: Mapping[str, str] | None = None
) -> tuple[dict[str, Any], str, str]:
    """Loads `PATH[:VARIANT]`: the plain values, the path, and the variant.

    A config is a Python file with `get_config(variant)` or `get_config()`. `VARIANTS`, if it
    exists, names the variants; the first one is the default. A relative path is looked for in the
    working directory and then in the project. The returned path is relative to the project if the
    file is in it, and else absolute.

    Args:
      config: the path and the variant.
      overrides: dotted keys and their texts, see `override`. A value that follows another by a
        FieldReference of ml_collections follows its override, too.

    Raises:
      ConfigError: there is no such file or variant, the file fails, or as `override`.
    """
    path, name, variant = _find(config)
    module = _execute(path, name)
    if not hasattr(module, "get_config"):
        raise ConfigError(f"{name} has no function get_config(variant) or get_config()")
    variants = list(getattr(module, "VARIANTS", ()))
    if variant and not variants:
        raise ConfigError(f"{name} has no variants: write --config={name}, without :{variant}")
    if variant and variant not in variants:
        raise ConfigError(f"{name} has no variant {variant!r}: {nearest(variant, variants)}")
    variant = variant or (variants[0] if variants else "")
    takes_variant = bool(inspect.signature(module.get_config).parameters)
    try:
        made = module.get_config(variant) if takes_variant else module.get_config()
    except Exception as error:
        _blame(path, name, error)
    if not isinstance(made, Mapping) and not hasattr(made, "to_dict"):
        raise ConfigError(f"get_config of {name} returns {made!r}, expected a ConfigDict")
    resolved = path.resolve()
    shown = resolved.relative_to(ROOT) if resolved.is_relative_to(ROOT) else resolved
    return plain_values(made, overrides), str(shown), variant


def plain_values(made: Any, overrides: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Returns a ConfigDict or a dict as plain values, with overrides.

    Args:
      made: the config; it stays as it is.
      overrides: dotted keys and their texts, see `override`.

    Raises:
      ConfigError: a value is required and not set, or as `override`.
    """
    values = _live(made, {})
    for key, text in (overrides or {}).items():
        override(values, key, text)
    return _settled(values)


def texts(overrides: Mapping[str, Any] | None) -> dict[str, str]:
    """Returns overrides of any values by dotted key as the texts that `override` reads."""
    return {
        key: value if isinstance(value, str) else repr(plain(value))
        for key, value in (overrides or {}).items()
    }


def described(config: str) -> tuple[str, tuple[str, ...]]:
    """Returns the docstring of a config file and the names of its variants.

    Raises:
      ConfigError: there is no such file, or it fails.
    """
    path, name, _ = _find(config)
    module = _execute(path, name)
    return module.__doc__ or "", tuple(getattr(module, "VARIANTS", ()))


def written(values: Mapping[str, Any]) -> str:
    """Writes plain values as the text of a config file that returns them.

    Args:
      values: the values that `load_config` returns.
    """
    lines = ["from ml_collections import ConfigDict", "", "", "def get_config():"]
    lines.append("    config = ConfigDict()")
    for key, value in values.items():
        start = f"    config.{key} = "
        shown = pprint.pformat(value, width=max(100 - len(start), 40), sort_dicts=False)
        lines.append(start + shown.replace("\n", "\n" + " " * len(start)))
    return "\n".join([*lines, "    return config"])


def override(values: dict[str, Any], key: str, text: str) -> None:
    """Sets a dotted key of a config, `optimizer.learning_rate` or `augment.0.padding`.

    The text is a Python literal, such as `dict(name="flip_lr")`, or else a string. A key that the
    file leaves out may be set; the reader of the config checks it.

    Raises:
      ConfigError: a key under a plain value, an index out of range, or a plain value of another
        type than before.
    """
    *parents, last = key.split(".")
    holder: Any = values
    for part in parents:
        if isinstance(holder, dict) and _value(holder.get(part)) is None:
            holder[part] = {}
        holder = _value(holder[_place(holder, part, key)])
    place = _place(holder, last, key)
    known = _value(holder.get(place) if isinstance(holder, dict) else holder[place])
    value = _literal(text)
    if isinstance(known, str) and not isinstance(value, str) and value is not None:
        value = text
    if isinstance(known, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    nested = isinstance(known, (dict, list)) and isinstance(value, (dict, list))
    if not nested and None not in (known, value) and type(value) is not type(known):
        raise ConfigError(
            f"--config.{key}={text} is of type {type(value).__name__}, expected "
            f"{type(known).__name__}, as in {known!r}"
        )
    _assign(holder, place, value)


def changed(config: str, values: Mapping[str, Any], overrides: Mapping[str, str]) -> dict[str, str]:
    """Returns the overrides whose value differs from that of the file.

    Args:
      config: the path and the variant.
      values: the values that `load_config` returns with the overrides.
      overrides: dotted keys and their texts.
    """
    if not overrides:
        return {}
    try:
        recipe = load_config(config)[0]
    except ConfigError:
        # The file alone has no value for a key that it requires.
        return dict(overrides)
    return {k: text for k, text in overrides.items() if _at(values, k) != _at(recipe, k)}


def found_in(config: str) -> str:
    """Returns where a relative path of a config file was found, and the absolute path."""
    path, name, _ = _find(config)
    if Path(name).is_absolute():
        return str(path)
    where = "the project" if path == ROOT / name else "the working directory"
    return f"{where}, {path.resolve()}"


def _find(config: str) -> tuple[Path, str, str]:
    """Returns the file that a flag names, its name as given, and the variant."""
    # A path may itself contain a colon.
    head, _, variant = config.rpartition(":")
    for name, rest in ((config, ""), *([(head, variant)] if head else [])):
        for path in (Path(name).expanduser(), ROOT / name):
            if path.is_file():
                if path.suffix != ".py":
                    raise ConfigError(f"config file {name!r} is not Python: its name ends in .py")
                return path, name, rest
    name = head or config
    folder = next((p for p in (Path(name).expanduser(), ROOT / name) if p.is_dir()), None)
    if folder is not None:
        inside = sorted(path.relative_to(folder) for path in folder.rglob("*.py"))
        hidden = [path for path in inside if any(part.startswith(".") for part in path.parts)]
        found = [str(Path(name) / path) for path in inside if path not in hidden]
        raise ConfigError(f"config {name!r} is a directory{_listed(found)}")
    if name in former_names.CONFIGS:
        raise ConfigError(f"config file {name!r} is now {former_names.CONFIGS[name]!r}")
    beside = [str(Path(name).parent / p.name) for p in Path(name).expanduser().parent.glob("*.py")]
    known = sorted(str(p.relative_to(ROOT)) for p in (ROOT / "configs").rglob("*.py"))
    if matching := _matching(name, known):
        raise ConfigError(f"config {name!r} is no file{_listed(matching)}")
    raise ConfigError(f"no config file {name!r}: {nearest(name, [*sorted(beside), *known])}")


def _matching(name: str, known: Sequence[str]) -> list[str]:
    """Returns the recipes with all words of a name in the path, or else in the docstring."""
    words = name.lower().split()
    if "/" in name or name.endswith(".py") or not words:
        return []
    docs = {path: ast.get_docstring(ast.parse((ROOT / path).read_text())) or "" for path in known}
    for texts in ({path: path for path in known}, docs):
        found = [path for path in known if all(word in texts[path].lower() for word in words)]
        if found:
            return found
    return []


def _listed(names: Sequence[str]) -> str:
    """Renders the end of a sentence: recipes in all variants, one a line, with their claims."""
    rows: list[tuple[str, str]] = []
    for name in names:
        # Other files may do anything when they are executed.
        if len(rows) >= _MOST_LISTED or "def get_config" not in _text(name):
            continue
        try:
            variants = described(name)[1] or ("",)
        except ConfigError as error:
            rows.append((name, str(error).partition("\n")[0]))
            continue
        full = [f"{name}:{variant}" if variant else name for variant in variants]
        rows += [(each, _claim(each)) for each in full]
    if not rows:
        return " without config files"
    shown = rows[:_MOST_LISTED]
    width = max(len(name) for name, _ in shown)
    lines = [f"  {name:<{width}}  {claim}".rstrip() for name, claim in shown]
    more = len(rows) > len(shown) or len(names) > len(rows) >= _MOST_LISTED
    return "\n".join(["; recipes and their claims:", *lines, *(["  ..."] if more else [])])


def _text(name: str) -> str:
    return _find(name)[0].read_text(errors="replace")


def _claim(config: str) -> str:
    """Renders the result that a recipe claims, such as "test/accuracy 91.25% (He et al. 2016)"."""
    from library.reporting import notation

    try:
        reported = load_config(config)[0].get("reported")
        metric, value, source = (reported[key] for key in ("metric", "value", "source"))
    except (ConfigError, TypeError, KeyError):
        # A recipe may need values from the command line first, and many recipes claim nothing.
        return ""
    return f"{metric} {notation.shown(metric, value)} ({' '.join(str(source).split())})"


def _execute(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"config_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look up their own module in sys.modules, to read annotations that are strings.
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[spec.name]
        _blame(path, name, error)
    return module


def _blame(path: Path, name: str, error: Exception) -> NoReturn:
    """Raises a ConfigError with the line of a config file in which an error occurred."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).resolve() == path.resolve()]
    number, line = (own[-1].lineno, own[-1].line) if own else (None, None)
    what = str(error).partition("\n")[0]
    if isinstance(error, SyntaxError):
        # A syntax error may also be in a module that the config file imports.
        inside = error.filename and Path(error.filename).resolve() == path.resolve()
        number, line = (error.lineno, error.text) if inside else (number, line)
        what = error.msg if inside else what
    where = f"config file {name}" + (f", line {number}" if number else "")
    shown = f"\n  {line.strip()}" if line and line.strip() else ""
    raise ConfigError(f"{where}: {type(error).__name__}: {what}{shown}") from error


def _live(value: Any, sections: dict[int, Any]) -> Any:
    """Copies a config into dicts and lists.

    References stay references, and a section with two keys stays one dict.
    """
    if _is_reference(value):
        held = _value(value)
        return _live(held, sections) if hasattr(held, "to_dict") else value
    if hasattr(value, "to_dict"):
        if id(value) not in sections:
            sections[id(value)] = copied = {}
            for key, held in value.items(preserve_field_references=True):
                copied[str(key)] = _live(held, sections)
        return sections[id(value)]
    if isinstance(value, Mapping):
        return {str(key): _live(held, sections) for key, held in value.items()}
    if isinstance(value, (list, tuple)):
        return [_live(held, sections) for held in value]
    return value


def _is_reference(value: Any) -> bool:
    return hasattr(value, "get_type") and hasattr(value, "has_cycle")


def _value(value: Any) -> Any:
    """Returns the current value of a reference; None if it is required and not set."""
    if not _is_reference(value):
        return value
    from ml_collections.config_dict import RequiredValueError

    try:
        held = value.get()
    except RequiredValueError:
        return None
    return plain(held) if isinstance(held, (tuple, Mapping)) else held


def _at(values: Any, key: str) -> list[Any]:
    """Returns a list with the value of a dotted key; the list is empty without a value."""
    for part in key.split("."):
        if isinstance(values, Mapping) and part in values:
            values = values[part]
        elif isinstance(values, list) and part.isdigit() and int(part) < len(values):
            values = values[int(part)]
        else:
            return []
    return [values]


def _assign(holder: Any, place: Any, value: Any) -> None:
    """Sets a value in place, so that all keys that share it follow."""
    known = holder.get(place) if isinstance(holder, dict) else holder[place]
    if _is_reference(known):
        known.set(value, type_safe=False)
    elif isinstance(known, dict) and isinstance(value, dict):
        for key in [key for key in known if key not in value]:
            del known[key]
        for key, held in value.items():
            _assign(known, key, held)
    elif isinstance(known, list) and isinstance(value, list):
        known[len(value) :] = []
        for at, held in enumerate(value[: len(known)]):
            _assign(known, at, held)
        known += value[len(known) :]
    else:
        holder[place] = value


def _settled(value: Any, path: str = "") -> Any:
    """Replaces references by their values."""
    if isinstance(value, dict):
        return {k: _settled(v, f"{path}.{k}") for k, v in value.items()}
    if isinstance(value, list):
        return [_settled(v, f"{path}.{i}") for i, v in enumerate(value)]
    if not _is_reference(value):
        return value
    try:
        return plain(value.get())
    except Exception as error:
        raise ConfigError(
            f"config{path} has no value ({error}): add --config{path}=VALUE"
        ) from error


class _DictCalls(ast.NodeTransformer):
    """Rewrites dict(a=1), as in config files, into {"a": 1}."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Rewrites one call, and those inside it."""
        self.generic_visit(node)
        named = all(keyword.arg for keyword in node.keywords) and not node.args
        if not named or not isinstance(node.func, ast.Name) or node.func.id != "dict":
            return node
        keys = [ast.Constant(keyword.arg) for keyword in node.keywords]
        return ast.Dict(keys, [keyword.value for keyword in node.keywords])


def _literal(text: str) -> Any:
    try:
        return plain(ast.literal_eval(_DictCalls().visit(ast.parse(text.strip(), mode="eval"))))
    except (ValueError, SyntaxError, TypeError):
        # "none" is a choice of several settings, such as dataset.cache.
        return {"true": True, "false": False}.get(text.lower(), text)


def _place(holder: Any, part: str, key: str) -> Any:
    if isinstance(holder, dict):
        return part
    if isinstance(holder, list) and part.isdigit() and int(part) < len(holder):
        return int(part)
    if isinstance(holder, list):
        valid = range(len(holder))
        raise ConfigError(
            f"--config.{key}: {part!r} is not an index of this list: {nearest(part, valid)}. "
            "To extend a list, write the whole list"
        )
    raise ConfigError(f"--config.{key}: {holder!r} is a plain value and has no {part!r}")
