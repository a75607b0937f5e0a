"""Published sizes of a network: its arguments stand once, and each size is a line with a name.

A model file states the arguments of its network as the attributes of the module, which checks them
in `__post_init__`, or, where attributes are made of them first, as those of one function. What a
config may name is a variant of either: some arguments are fixed, and so no longer a config's to
set, and others have new defaults.
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
      build: the function, or the class of a Flax module, in the file that the variant is for.
      name: what the variant is called there.
      defaults: what some arguments are by default, in place of what `build` says.
      **fixed: the arguments that make the variant, by name.

    Raises:
      TypeError: an argument that `build` does not have.
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
    said = f"`{name}` is this with {told}." if told else f"`{name}` is this."
    built.__doc__ = f"{build.__doc__.rstrip()}\n\n    {said}\n    "
    return built


def _signature(build: Callable[..., Any]) -> inspect.Signature:
    """Returns the arguments of a function, or of a module's class without those that Flax adds."""
    known = inspect.signature(build)
    if not isinstance(build, type):
        return known
    own = [p for key, p in known.parameters.items() if key not in ("parent", "name")]
    return known.replace(parameters=own, return_annotation=build)
