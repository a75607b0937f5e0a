"""Variants of a network, such as its published sizes: one line each in the model's file.

A model file states the network's arguments once: as the attributes of the module, which checks
them in `__post_init__`, or as the arguments of a function that computes the attributes. A config
names a variant of either. A variant fixes some arguments, which a config can then no longer set,
and gives others new defaults.
"""

import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any


def variant(
    build: Callable[..., Any],
    name: str,
    /,
    *,
    defaults: Mapping[str, Any] = {},
    **fixed: Any,
) -> Callable[..., Any]:
    """Returns `build` under another name, with some arguments fixed and some defaults changed.

    The result has the annotations and the argument order of `build`, without the fixed arguments,
    and belongs to the same module. Configs are checked against its signature.

    Args:
      build: a function, or the class of a Flax module, of the same file as the variant.
      name: name of the variant.
      defaults: new defaults, by argument.
      **fixed: values of the fixed arguments, by argument.

    Raises:
      TypeError: `build` does not have such an argument.
    """
    known = _signature(build)
    if strange := {*defaults, *fixed} - set(known.parameters):
        raise TypeError(f"{name}: {build.__name__} takes no {', '.join(sorted(strange))}")
    left = [
        parameter.replace(default=defaults.get(key, parameter.default))
        for key, parameter in known.parameters.items()
        if key not in fixed
    ]
    signature = known.replace(parameters=left)

    def built(*args, **kwargs):
        given = signature.bind(*args, **kwargs).arguments
        return build(**{**defaults, **given, **fixed})

    hints = {**typing.get_type_hints(build), "return": signature.return_annotation}
    built.__signature__ = signature
    kept = [key for key in (*signature.parameters, "return") if key in hints]
    built.__annotations__ = {key: hints[key] for key in kept}
    built.__name__ = built.__qualname__ = name
    built.__module__ = build.__module__
    told = ", ".join(f"{key}={value!r}" for key, value in {**fixed, **defaults}.items())
    said = f"`{name}` has {told}." if told else f"`{name}` has no changes."
    built.__doc__ = f"{build.__doc__.rstrip()}\n\n    {said}\n    "
    return built


def _signature(build: Callable[..., Any]) -> inspect.Signature:
    """Returns the signature of a function, or of a module's class without what Flax adds."""
    known = inspect.signature(build)
    if not isinstance(build, type):
        return known
    own = [p for key, p in known.parameters.items() if key not in ("parent", "name")]
    return known.replace(parameters=own, return_annotation=build)
