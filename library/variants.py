"""Published sizes of a network: one function that builds any, and a line for each with a name.

A model file states the arguments of its network once, in one function. Each published size is that
function with some arguments fixed, and so no longer a config's to set, and others of new defaults.
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
    """Returns `build` under another name, with arguments fixed and defaults changed.

    The function has the annotations and the order of arguments of `build`, less those that are
    fixed, and belongs to the same module: configs are checked by its signature.

    Args:
      build: a function of the module that the variant is for.
      name: what the variant is called there.
      defaults: what some arguments are by default, in place of what `build` says.
      **fixed: the arguments that make the variant, by name.

    Raises:
      TypeError: an argument that `build` does not have.
    """
    known = inspect.signature(build)
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

    hints = typing.get_type_hints(build)
    built.__signature__ = signature
    built.__annotations__ = {key: hint for key, hint in hints.items() if key not in fixed}
    built.__name__ = built.__qualname__ = name
    built.__module__ = build.__module__
    told = ", ".join(f"{key}={value!r}" for key, value in {**fixed, **defaults}.items())
    built.__doc__ = f"{build.__doc__.rstrip()}\n\n    `{name}` is this with {told}.\n    "
    return built
