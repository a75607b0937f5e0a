"""Starting from another run's params: never its step, its optimizer or its schedule."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from rich.console import Console

from library import config, trees
from library.config import ConfigError, nearest
from library.task import TrainState
from library.training import checkpoints
from library.training.sections import InitFrom


def check(spec: Mapping[str, Any]) -> None:
    """Finds out whether there is a checkpoint to start from.

    Raises:
      ConfigError: there is none.
    """
    settings = config.read(InitFrom, spec, "init_from")
    checkpoints.newest(Path(settings.workdir), which=settings.which)


def initialise(spec: Mapping[str, Any], state: TrainState, console: Console) -> TrainState:
    """Replaces the params and batch statistics of a fresh state by those of another run.

    A leaf that is absent there, of another shape (the head of another label set) or named by
    `fresh` stays as initialised; every such leaf is listed, as is every leaf that found no place.

    Args:
      spec: see `sections.InitFrom`.
      state: the fresh state, placed on its devices.
      console: where the list is shown.

    Raises:
      ConfigError: the workdir has no checkpoint, or shares no leaf with this model, a pattern of
        `fresh` matches none, or nothing there lies below `prefix`.
    """
    settings = config.read(InitFrom, spec, "init_from")
    _, leaves = checkpoints.load(Path(settings.workdir), which=settings.which)
    given = _below(settings.prefix, model_leaves(leaves, ema=settings.ema))
    kept: list[str] = []

    def choose(path: str, fresh: jax.Array) -> jax.Array:
        found = given.pop(path, None)
        excluded = any(re.search(pattern, path) for pattern in settings.fresh)
        if found is None or excluded or found.shape != fresh.shape:
            shape = "" if found is None else f", {tuple(found.shape)} there"
            kept.append(f"{path} {fresh.shape}{shape}")
            return fresh
        return jax.device_put(jax.device_get(found).astype(fresh.dtype), fresh.sharding)

    model = {"params": state.params, **state.variables}
    total = len(trees.paths(model))
    for pattern in settings.fresh:
        if not any(re.search(pattern, path) for path in trees.paths(model)):
            options = nearest(pattern, trees.paths(model))
            raise ConfigError(f"init_from.fresh: {pattern!r} matches no parameter: {options}")
    chosen = trees.map_with_path(choose, model)
    if len(kept) == total:
        raise ConfigError(f"init_from {settings.workdir}: not one of {total} leaves fits the model")
    console.print(f"started from {settings.workdir}: {total - len(kept)} of {total} leaves")
    for path in kept:
        console.print(f"  fresh    {path}", highlight=False)
    for path in given:
        console.print(f"  skipped  {path}", highlight=False)
    params = chosen.pop("params")
    ema = state.ema
    if ema is not None:
        averages = {"params": params, **chosen}
        # Averages of params in half precision are kept in more.
        ema = {
            name: jax.tree.map(lambda mean, x: jnp.array(x, mean.dtype), ema[name], averages[name])
            for name in ema
        }
    return state.replace(params=params, variables=chosen, ema=ema)


def model_leaves(leaves: Mapping[str, Any], *, ema: bool) -> dict[str, Any]:
    """Returns a checkpoint's leaves that belong to the model, by paths as "params/head/kernel".

    Raises:
      ConfigError: averages are asked for, and the run kept none.
    """
    averaged = {
        path.removeprefix("state/ema/"): x
        for path, x in leaves.items()
        if path.startswith("state/ema/")
    }
    if ema and not averaged:
        raise ConfigError("init_from.ema: that run kept no running averages")
    raw = {
        re.sub(r"^state/(variables/)?", "", path): x
        for path, x in leaves.items()
        if path.startswith(("state/params/", "state/variables/"))
    }
    return {**raw, **averaged} if ema else raw


def _below(prefix: str, leaves: dict[str, Any]) -> dict[str, Any]:
    """Keeps the leaves of one submodule, "params/encoder/..." becoming "params/..."."""
    if not prefix:
        return leaves
    split = {path: path.split(f"/{prefix}/", 1) for path in leaves}
    # A collection's name alone comes before the submodule's.
    found = {
        "/".join(parts): leaves[path]
        for path, parts in split.items()
        if len(parts) == 2 and "/" not in parts[0]
    }
    if not found:
        tops = sorted({path.split("/")[1] for path in leaves if "/" in path})
        raise ConfigError(f"init_from.prefix={prefix!r} is no submodule: {nearest(prefix, tops)}")
    return found
