"""How the collections of a state's variables spread over the devices of a run.

averaged    each device moves its own, and all take the mean: batch statistics
whole       one for the run, made from the batch of all devices: a queue, a carry, a pool of
            images. Under `jit` a step sees that batch; under `pmap` it does not, and such a
            collection is refused.
replicated  every device computes the same: masks of the params, vectors of a power iteration,
            a momentum teacher's params, whose batch statistics are a collection of their own
constant    nothing moves it: a fixed teacher. It is neither summed nor checked, and what a loss
            returns in its place is not read.
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
    """Returns a task's declarations beside that of batch statistics.

    Raises:
      ConfigError: a spread that there is not.
    """
    found = {**STATISTICS, **(spread or {})}
    for name, kind in found.items():
        check_choice(f"spread of {name!r}:", kind, SPREADS)
    return found


def check(variables: Mapping[str, Any], spread: Mapping[str, str], axis_name: str | None) -> None:
    """Checks the collections of a state, which may be abstract, against their declarations.

    Raises:
      ConfigError: a collection that is not declared, one of the whole run under `pmap`, or an
        averaged one with a leaf that has no mean.
    """
    for name, held in variables.items():
        if name not in spread:
            raise ConfigError(
                f"the model keeps variables {name!r}, and the task does not say how devices share "
                f"them: spread={{{name!r}: ...}} takes {', '.join(SPREADS)}; declared are "
                f"{', '.join(spread)}"
            )
        if spread[name] == "whole" and axis_name is not None:
            raise ConfigError(
                f"variables {name!r} belong to the run as a whole: parallel.strategy='jit' keeps "
                "them, 'pmap' does not"
            )
        for path, leaf in trees.flatten(held).items() if spread[name] == "averaged" else ():
            if not jnp.issubdtype(leaf.dtype, jnp.floating):
                raise ConfigError(
                    f"variables {name!r} are averaged over devices, but {name}/{path} is "
                    f"{leaf.dtype}, which has no mean: 'replicated' keeps it"
                )


def moving(variables: Mapping[str, Any], spread: Mapping[str, str]) -> dict[str, PyTree]:
    """Returns the collections that a step may move."""
    return {name: held for name, held in variables.items() if spread[name] != "constant"}


def over_devices(
    variables: Mapping[str, Any], spread: Mapping[str, str], axis_name: str
) -> dict[str, PyTree]:
    """Takes the mean over the devices of what is averaged.

    Each device normalizes by its own statistics; their running averages are linear in them, so
    averaging every step equals averaging once at the end, and the state stays replicated.
    """
    return {
        name: jax.lax.pmean(held, axis_name) if spread[name] == "averaged" else held
        for name, held in variables.items()
    }
