"""Fine-tuning: a start from the params of another run, without its step and optimizer state."""

import collections
import functools
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from rich.console import Console

from library import config, trees
from library.config import ConfigError, nearest
from library.run import checkpoints, class_axes, class_names, data_record, exported, vocabularies
from library.run.class_axes import Classes, Reordering
from library.run.plan import Plan, initial_state
from library.run.sections import InitFrom
from library.run.vocabularies import Rows, Vocabularies
from library.run.workdir import read_config
from library.task import TrainState
from library.weights import resampling
from library.weights.resampling import Resampling


class _Fit(NamedTuple):
    """The match between the leaves of a checkpoint and those of a model.

    Attributes:
      taken: the paths of the leaves that are taken, each with its resampling, reordering, rows of
        tokens, or None.
      fresh: the leaves of the model that keep their initial values: path, shape, and the shape in
        the checkpoint if it differs, or the reason.
      left: the paths of the checkpoint's leaves that the model does not have.
      changed: the number of taken leaves for each change of dtype, "float32 made bfloat16".
    """

    taken: dict[str, Resampling | Reordering | Rows | None]
    fresh: list[str]
    left: list[str]
    changed: Mapping[str, int]


def check(spec: Mapping[str, Any], plan: Plan | None = None) -> None:
    """Checks that there is a checkpoint to start from and that it fits the plan's model.

    Raises:
      ConfigError: there is no checkpoint, or an error of `initialise`.
    """
    settings = config.read(InitFrom, spec, "init_from")
    folder = Path(settings.workdir)
    if exported.is_exported(folder):
        there = exported.read(folder, which=settings.which)[1]
    else:
        there = checkpoints.shapes(folder, which=settings.which)
    if plan is not None and there:
        here = trees.flatten({"params": plan.state.params, **plan.state.variables})
        given = _below(settings.prefix, model_leaves(there, ema=settings.ema))
        grids = functools.partial(patch_grids, plan)
        _fitted(settings, given, here, grids, *_names(settings, plan))


def started(plan: Plan, state: TrainState, console: Console) -> TrainState:
    """Replaces the params and batch statistics of a plan's new state, see `initialise`."""
    spec, grids = plan.recipe.init_from, functools.partial(patch_grids, plan)
    settings = config.read(InitFrom, spec, "init_from")
    return initialise(spec, state, console, grids, *_names(settings, plan))


def initialise(
    spec: Mapping[str, Any],
    state: TrainState,
    console: Console,
    grids: Callable[[], Mapping[str, tuple[int, int]]] = dict,
    classes: Classes = Classes(),  # noqa: B008 - a tuple
    tokens: Vocabularies = Vocabularies(),  # noqa: B008 - a tuple
) -> TrainState:
    """Replaces the params and batch statistics of a new state by those of another run.

    A leaf keeps its initial value if the checkpoint does not have it, has it with another shape
    (the head of other labels), or `fresh` names it. So does a leaf of the classes if these have
    other names in the other run. If they have another order, the leaf is reordered. Of a leaf of
    the tokens of another vocabulary, the entries of tokens that both runs have are taken. Learned
    positions for another number of patches are resampled, see `weights.resampling`. The console
    lists all these leaves, and the leaves of the checkpoint that are not used.

    Args:
      spec: see `sections.InitFrom`.
      state: the new state, on its devices.
      console: shows the list.
      grids: see `patch_grids`; a grid that it does not return counts as a square.
      classes: the classes of both runs; where names are unknown, only their number counts.
      tokens: the tokens of both runs, likewise.

    Raises:
      ConfigError: the workdir has no checkpoint, no leaf of it fits this model, a pattern of
        `fresh` matches no leaf, there is no submodule `prefix`, or positions cannot be resampled.
    """
    settings = config.read(InitFrom, spec, "init_from")
    folder = Path(settings.workdir)
    load = exported.read if exported.is_exported(folder) else checkpoints.load
    _, leaves = load(folder, which=settings.which)
    everything = model_leaves(leaves, ema=settings.ema)
    given = _below(settings.prefix, everything)
    model = {"params": state.params, **state.variables}
    fit = _fitted(settings, given, trees.flatten(model), grids, classes, tokens)

    def choose(path: str, fresh: jax.Array) -> jax.Array:
        if path not in fit.taken:
            return fresh
        found, how = jax.device_get(given[path]), fit.taken[path]
        found = found if how is None else how.apply(found)
        if isinstance(how, Rows):
            made, there = (jax.device_put(x, fresh.sharding) for x in found)
            return jnp.where(there, made.astype(fresh.dtype), fresh)
        return jax.device_put(found.astype(fresh.dtype), fresh.sharding)

    chosen = trees.map_with_path(choose, model)
    if classes.differ and not classes.axes():
        console.print("note: the classes have other names there; no param of them is known")
    _show(settings, fit, len(everything) - len(given), _has_averages(leaves), console)
    params = chosen.pop("params")
    ema = state.ema
    if ema is not None:
        averages = {"params": params, **chosen}
        # The running averages of half-precision params are in float32.
        ema = {
            name: jax.tree.map(lambda mean, x: jnp.array(x, mean.dtype), ema[name], averages[name])
            for name in ema
        }
    return state.replace(params=params, variables=chosen, ema=ema)


def patch_grids(plan: Plan) -> dict[str, tuple[int, int]]:
    """Returns the rows and columns of a model's patch grids, by the path of their positions.

    Paths are within the model, as in "encoder/positions/embedding". The function traces the
    initialisation.
    """
    grids = {}

    def note(call, arguments, options, context):
        made = call(*arguments, **options)
        *scope, name = context.module.path or ("",)
        if name == "patches" and context.method_name == "__call__":
            grids["/".join((*scope, "positions/embedding"))] = tuple(made.shape[1:3])
        return made

    batch = plan.loader.like(plan.dataset.batch_size)
    key = jax.eval_shape(lambda: jax.random.key(0))
    with nn.intercept_methods(note):
        jax.eval_shape(functools.partial(initial_state, plan), batch, {"key": key, "resident": {}})
    return grids


def _fitted(
    settings: InitFrom,
    given: Mapping[str, Any],
    model: Mapping[str, Any],
    grids: Callable[[], Mapping[str, tuple[int, int]]],
    classes: Classes,
    tokens: Vocabularies,
) -> _Fit:
    """Matches every leaf by path, shape, dtype, classes and tokens."""
    _check_fresh(settings.fresh, model)
    taken, fresh, refused, grids = {}, [], [], functools.cache(grids)
    for path, here in model.items():
        there = given.get(path)
        if there is None or any(re.search(pattern, path) for pattern in settings.fresh):
            fresh.append(f"{path} {here.shape}")
            continue
        try:
            how = _resampling(path, settings.grid, given, model, grids)
        except ValueError as error:
            refused.append(f"{path} {tuple(there.shape)} for {here.shape}: {error}")
            continue
        same = there.shape == here.shape and _kind(there) == _kind(here)
        rows = tokens.rows(path, there.shape, here.shape)
        if rows is not None and _kind(there) == _kind(here):
            taken[path] = rows
            continue
        if how is None and not same:
            types = "" if _kind(there) == _kind(here) else f" {there.dtype}"
            fresh.append(f"{path} {here.shape}, {tuple(there.shape)}{types} there")
            continue
        change = classes.change(path, here.shape)
        if isinstance(change, str):
            fresh.append(f"{path} {here.shape}: {change}; init_from.classes='numbers' takes it")
        else:
            taken[path] = how or change
    if refused:
        hint = "set init_from.grid to that run's rows and columns, or list it in init_from.fresh"
        raise ConfigError(f"init_from {settings.workdir}: {'; '.join(refused)}; {hint}")
    if not taken:
        total = len(model)
        raise ConfigError(
            f"init_from {settings.workdir}: none of the model's {total} leaves has the path and "
            "shape of a leaf there"
        )
    types = [(given[path].dtype, model[path].dtype) for path in taken]
    changed = collections.Counter(f"{there} made {here}" for there, here in types if there != here)
    return _Fit(taken, fresh, [path for path in given if path not in model], changed)


def _check_fresh(patterns: tuple[str, ...], model: Mapping[str, Any]) -> None:
    for pattern in patterns:
        if not any(re.search(pattern, path) for path in model):
            options = trees.nearest(pattern, list(model))
            raise ConfigError(f"init_from.fresh: {pattern!r} matches no parameter: {options}")


def _names(settings: InitFrom, plan: Plan) -> tuple[Classes, Vocabularies]:
    """Returns the classes and the tokens of the other run and of a plan."""
    folder = Path(settings.workdir).expanduser()
    record = data_record.read(folder)
    classes, tokens = Classes(), Vocabularies()
    if settings.classes == "names" and record is not None:
        axes = functools.cache(functools.partial(class_axes.axes, plan))
        there = class_names.of_run(read_config(folder), record)
        classes = Classes(there, plan.label_names, axes)
    tokenizer = plan.loader.source.tokenizer
    if settings.tokens == "names" and tokenizer is not None:
        axes = functools.cache(functools.partial(class_axes.axes, plan, "vocab_size"))
        tokens = Vocabularies(vocabularies.names(record), tokenizer.names, axes)
    return classes, tokens


def _resampling(path, grid, given, model, grids) -> Resampling | None:
    """Returns how to resample a leaf, or None; raises ValueError if it cannot be resampled."""
    there, here = given[path], model[path]
    if not resampling.is_positions(path) or {_kind(there), _kind(here)} != {"real"}:
        return None
    if there.shape == here.shape and grid is None:
        return None
    known = [(key, sides) for key, sides in grids().items() if f"/{path}".endswith(f"/{key}")]
    new = max(known, key=lambda each: len(each[0]))[1] if known else None
    tokens = tuple(resampling.tokens_beside(path, paths) for paths in (given, model))
    found = resampling.find(path, there.shape, here.shape, tokens=tokens, old=grid, new=new)
    return None if found is None or found.old == found.new else found


def _kind(leaf: Any) -> str:
    return "real" if jnp.issubdtype(leaf.dtype, jnp.floating) else str(leaf.dtype)


def _show(settings: InitFrom, fit: _Fit, outside: int, averages: bool, console: Console) -> None:
    total = len(fit.taken) + len(fit.fresh)
    console.print(f"started from {settings.workdir}: {len(fit.taken)} of {total} leaves")
    if settings.ema:
        console.print("  taken    the running averages")
    elif averages:
        console.print("  taken    the params; init_from.ema=True takes the running averages")
    for line, count in fit.changed.items():
        console.print(f"  taken    {count} leaves of {line}", highlight=False)
    for path, how in fit.taken.items():
        if how is not None:
            console.print(f"  taken    {path} {how}", highlight=False)
    for line in fit.fresh:
        # Names of classes may have brackets.
        console.print(f"  fresh    {line}", highlight=False, markup=False)
    for path in fit.left:
        console.print(f"  skipped  {path}", highlight=False)
    if outside:
        console.print(f"  skipped  {outside} leaves outside of {settings.prefix}", highlight=False)


def _has_averages(leaves: Mapping[str, Any]) -> bool:
    return any(path.startswith("state/ema/") for path in leaves)


def model_leaves(leaves: Mapping[str, Any], *, ema: bool) -> dict[str, Any]:
    """Returns a checkpoint's leaves that belong to the model, by path: "params/head/kernel".

    Args:
      leaves: all leaves of the checkpoint, by path.
      ema: whether to take the running averages in place of the params.

    Raises:
      ConfigError: `ema` is true, and the checkpoint has no running averages.
    """
    averaged = {
        path.removeprefix("state/ema/"): x
        for path, x in leaves.items()
        if path.startswith("state/ema/")
    }
    if ema and not averaged:
        raise ConfigError("init_from.ema=True: that run has no running averages; leave it out")
    raw = {
        re.sub(r"^state/(variables/)?", "", path): x
        for path, x in leaves.items()
        if path.startswith(("state/params/", "state/variables/"))
    }
    return {**raw, **averaged} if ema else raw


def _below(prefix: str, leaves: dict[str, Any]) -> dict[str, Any]:
    """Returns the leaves of one submodule; "params/encoder/..." becomes "params/..."."""
    if not prefix:
        return leaves
    split = {path: path.split(f"/{prefix}/", 1) for path in leaves}
    # Only a collection's name may come before the submodule's name.
    found = {
        "/".join(parts): leaves[path]
        for path, parts in split.items()
        if len(parts) == 2 and "/" not in parts[0]
    }
    if not found:
        tops = sorted({path.split("/")[1] for path in leaves if "/" in path})
        raise ConfigError(f"init_from.prefix={prefix!r} is no submodule: {nearest(prefix, tops)}")
    return found
