"""How the devices of a run share the collections of a state's variables: their spread.

averaged    Each device updates its own values, and all take their mean: batch statistics.
whole       The run has one collection, made from the batch of all devices: a queue, a carry, a
            pool of images. Under `jit` a step sees that batch. Under `pmap` it does not, and such
            a collection is an error.
replicated  Every device computes the same values: masks of the params, vectors of a power
            iteration, params of a momentum teacher (its batch statistics are another collection).
constant    Nothing changes the values: a fixed teacher. They are neither summed nor checked, and
            the values that a loss returns for them are ignored.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from library import trees
from library.config import ConfigError, check_choice

SPREADS = ("averaged", "whole", "replicated", "constant")
STATISTICS = {"batch_stats": "averaged"}


def declared(spread: Mapping[str, str] | None) -> dict[str, str]:
    """Returns the spreads that a task declares, together with that of batch statistics.

    Raises:
      ConfigError: a spread is unknown.
    """
    found = {**STATISTICS, **(spread or {})}
    for name, kind in found.items():
        check_choice(f"spread of {name!r}:", kind, SPREADS)
    return found


def check(variables: Mapping[str, Any], spread: Mapping[str, str], axis_name: str | None) -> None:
    """Checks a state's collections, which may be abstract, against the declared spreads.

    Raises:
      ConfigError: a collection is not declared, a "whole" collection is used under `pmap`, or an
        "averaged" one has a leaf that is not floating-point.
    """
    for name, held in variables.items():
        if name not in spread:
            raise ConfigError(
                f"the model has variables {name!r}, and the task does not say how devices share "
                f"them: spread={{{name!r}: ...}} takes {', '.join(SPREADS)}; declared are "
                f"{', '.join(spread)}"
            )
        if spread[name] == "whole" and axis_name is not None:
            raise ConfigError(
                f"variables {name!r} belong to the run as a whole: parallel.strategy='jit' "
                "supports them, 'pmap' does not"
            )
        for path, leaf in trees.flatten(held).items() if spread[name] == "averaged" else ():
            if not jnp.issubdtype(leaf.dtype, jnp.floating):
                raise ConfigError(
                    f"variables {name!r} are averaged over devices, but {name}/{path} is "
                    f"{leaf.dtype}, which has no mean: declare 'replicated' instead"
                )


def moving(variables: Mapping[str, Any], spread: Mapping[str, str]) -> dict[str, PyTree]:
    """Returns the collections that a step may change."""
    return {name: held for name, held in variables.items() if spread[name] != "constant"}


def over_devices(
    variables: Mapping[str, Any], spread: Mapping[str, str], axis_name: str
) -> dict[str, PyTree]:
    """Returns the collections with the "averaged" ones replaced by their mean over the devices.

    Each device normalizes by its own statistics. The running averages are linear in them, so a
    mean at every step equals one mean at the end, and the state stays replicated.
    """
    return {
        name: jax.lax.pmean(held, axis_name) if spread[name] == "averaged" else held
        for name, held in variables.items()
    }
