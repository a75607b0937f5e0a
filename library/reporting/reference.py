"""The config reference: all keys of a config, from signatures and docstrings.

`library.config` checks a config against the same signatures, so this page cannot name a key that is
refused.
"""

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Literal, NamedTuple

from library.config import Duration

COMMAND = "python -m experiments.reference --write"
FROM_DATA = "from the data"
_SECTION = re.compile(r"^(Args|Attributes|Returns|Raises|Yields)(?: \(.*\))?:$", re.MULTILINE)
_ITEM = re.compile(r"^  (\w+): ", re.MULTILINE)
# A tag, or stars that could begin or end an emphasis.
_MARKUP = re.compile(r"<(?=[\w/!])|(?<=[^\s*])\*+|(?<!\*)\*+(?=[^\s*])")
_PLAIN = (int, float, str, bool, dict, type(None), Any, Duration)


class Key(NamedTuple):
    """One key of a config.

    Attributes:
      name: the name, such as "label_smoothing".
      kind: the type of its value, as Markdown.
      default: the default value as Markdown; "" if the key is required.
      meaning: one paragraph that describes the key.
    """

    name: str
    kind: str
    default: str
    meaning: str


class Entry(NamedTuple):
    """One section of a config, or one function that a config names.

    Attributes:
      name: the name in a config, such as "dataset" or "flip_lr".
      text: the docstring without its lists.
      keys: the keys of the section, or the arguments of the function.
      returns: the docstring's "Returns", or "".
    """

    name: str
    text: str
    keys: tuple[Key, ...]
    returns: str = ""


class Chapter(NamedTuple):
    """Entries of one kind under one heading."""

    title: str
    text: str
    entries: tuple[Entry, ...]


def of_settings(name: str, cls: type) -> Entry:
    """Describes a dataclass, or a named tuple, of settings."""
    sections = _sections(cls)
    meanings, hints = _items(sections.get("Attributes", "")), typing.get_type_hints(cls)
    defaults = _defaults(cls)
    keys = tuple(
        Key(key, kind(hints[key]), _default(defaults.get(key, inspect.Parameter.empty)), said)
        for key, said in ((key, meanings.get(key, "")) for key in hints)
    )
    return Entry(name, sections[""], keys)


def of_function(
    name: str, function: Callable, given: Collection[str] = (), known: Collection[str] = ()
) -> Entry | None:
    """Describes a function that a config names; None if a config cannot supply its arguments.

    Args:
      name: the name in a config.
      function: the function of this name.
      given: arguments that the run supplies.
      known: arguments that the run takes from its data if a config leaves them out.
    """
    sections, hints = _sections(function), typing.get_type_hints(function)
    meanings, keys = _items(sections.get("Args", "")), []
    for key, parameter in inspect.signature(function).parameters.items():
        if key in given:
            continue
        annotation = hints.get(key, Any)
        required = parameter.default is inspect.Parameter.empty
        if not is_plain(annotation):
            if required:
                return None
            continue
        default = FROM_DATA if key in known else _default(parameter.default)
        keys.append(Key(key, kind(annotation), default, meanings.get(key, "")))
    returned = " ".join(sections.get("Returns", "").split())
    return Entry(name, sections[""], tuple(keys), returned)


def defaults_text(arguments: Mapping[str, Any]) -> str:
    """Returns one line with the arguments of another library's function, and their defaults."""
    said = ((name, _default(default).strip("`")) for name, default in arguments.items())
    return ", ".join(f"`{name}={default}`" for name, default in said)


def is_plain(annotation: Any) -> bool:
    """Returns whether a config can contain values of an annotated type."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal or annotation in _PLAIN or (origin or annotation) in (dict, Mapping):
        return True
    if (origin or annotation) in (tuple, list) or origin in (typing.Union, types.UnionType):
        return all(is_plain(each) for each in arguments if each is not Ellipsis)
    return False


def kind(annotation: Any) -> str:
    """Renders a type annotation for readers of a config, such as `"none"` or `"device"`."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is Duration:
        return "duration"
    if origin is Literal:
        return " or ".join(
            f'`"{each}"`' if isinstance(each, str) else f"`{each}`" for each in arguments
        )
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(kind(each) for each in arguments))
    if origin in (tuple, list):
        if Ellipsis in arguments or origin is list:
            return f"list of {kind(arguments[0])}"
        return f"[{', '.join(kind(each) for each in arguments)}]"
    if annotation in (type(None), None):
        return "None"
    if annotation is Any:
        return "any value"
    if dataclasses.is_dataclass(annotation):
        return "dict"
    return getattr(origin or annotation, "__name__", str(annotation))


def page(chapters: Iterable[Chapter], preamble: str) -> str:
    """Returns the text of docs/config.md."""
    chapters = list(chapters)
    links = (f"- [{c.title}](#{_anchor(c.title)})\n" for c in chapters)
    parts = [preamble, "".join(links)]
    for chapter in chapters:
        parts.append(f"## {chapter.title}\n")
        parts += [f"{_escaped(chapter.text)}\n"] if chapter.text else []
        parts += [entry_text(entry) for entry in chapter.entries]
    return "\n".join(parts)


def entry_text(entry: Entry) -> str:
    """Returns one entry as Markdown: its heading, its text and a list of its keys."""
    parts = [f"### `{entry.name}`\n"]
    parts += [f"{_escaped(entry.text)}\n"] if entry.text else []
    if entry.keys:
        parts.append("".join(f"- {_key_text(key)}\n" for key in entry.keys))
    parts += [f"Returns: {_escaped(entry.returns)}\n"] if entry.returns else []
    return "\n".join(parts)


def matching(chapters: Iterable[Chapter], words: Iterable[str]) -> list[Entry]:
    """Returns the entries whose title, name or keys contain all words, in upper or lower case."""
    wanted = [word.lower() for word in words]

    def searched(chapter, entry):
        named = [chapter.title, entry.name, *(key.name for key in entry.keys)]
        return " ".join(named).lower()

    return [
        entry
        for chapter in chapters
        for entry in chapter.entries
        if all(word in searched(chapter, entry) for word in wanted)
    ]


def _key_text(key: Key) -> str:
    told = [key.kind] if key.kind else []
    told.append(f"default {key.default}" if key.default else "required")
    said = f": {_escaped(key.meaning)}" if key.meaning else ""
    return f"`{key.name}` ({', '.join(told)}){said}"


def _sections(documented: Any) -> dict[str, str]:
    """Splits a docstring at its headings; the key "" has the text before the first heading."""
    parts = _SECTION.split(inspect.getdoc(documented) or "")
    return {"": parts[0].strip(), **dict(zip(parts[1::2], parts[2::2]))}


def _items(section: str) -> dict[str, str]:
    parts = _ITEM.split(section)
    return {name: " ".join(text.split()) for name, text in zip(parts[1::2], parts[2::2])}


def _defaults(cls: type) -> dict[str, Any]:
    if not dataclasses.is_dataclass(cls):
        return dict(cls._field_defaults)
    found = {}
    for field in dataclasses.fields(cls):
        if field.default is not dataclasses.MISSING:
            found[field.name] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            found[field.name] = field.default_factory()
    return found


def _default(value: Any) -> str:
    if value is inspect.Parameter.empty:
        return ""
    written = getattr(value, "__name__", None) or repr(_as_lists(value))
    return "`" + re.sub(r"'([^'\"]*)'", r'"\1"', written) + "`"


def _as_lists(value: Any) -> Any:
    return [_as_lists(each) for each in value] if isinstance(value, (tuple, list)) else value


def _escaped(text: str) -> str:
    """Escapes text outside of code, so that it does not become markup."""
    parts = re.split(r"(``.*?``|`[^`]*`)", text, flags=re.DOTALL)
    return "".join(p if i % 2 else _MARKUP.sub(_with_backslash, p) for i, p in enumerate(parts))


def _with_backslash(match: re.Match) -> str:
    return re.sub(r"([<*])", r"\\\1", match[0])


def _anchor(title: str) -> str:
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
