"""A dry run of a recipe, which writes nothing: the cost of a step, or one step in detail."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import PyTree
from rich.table import Table

from library import trees
from library.apps import planning
from library.apps.planning_table import giga
from library.config import ConfigError, MisfitError
from library.data.preprocessing import CorruptExample, UnfitExample
from library.run import fine_tuning, stepping
from library.run.feed import Feed
from library.run.own_files import shape
from library.run.plan import Plan
from library.run.recipe import make_plan, read
from library.summaries import summarize


def planned(values: Mapping[str, Any], devices: Any = None) -> Plan:
    """Builds and checks everything that a new run of a config needs.

    Args:
      values: the config.
      devices: the devices to run on, by default all.

    Raises:
      ConfigError: the run would not start.
    """
    try:
        plan = make_plan(values, devices=devices)
    except (CorruptExample, UnfitExample) as error:
        raise ConfigError(str(error)) from error
    if plan.recipe.init_from:
        fine_tuning.check(plan.recipe.init_from, plan)
    return plan


def table(plan: Plan) -> Table:
    """Returns the table of a plan: its params by top module, the memory and the FLOPs of a step."""
    shown = Table(box=None, show_header=False, pad_edge=False)
    counts = parameters(plan)
    for name, count in {**counts, "all params": sum(counts.values())}.items():
        shown.add_row(name, f"{count:,}")
    shown.add_row()
    held = planning.held_bytes(plan)
    for name, size in {**held, "together": sum(held.values())}.items():
        shown.add_row(f"{name}, on each of {plan.strategy.mesh.size} device(s)", giga(size, "B"))
    # To count them, XLA must compile the step, which takes minutes for a large model.
    shown.add_row("temporary values of a step", "not counted, see experiments.plan")
    shown.add_row()
    shown.add_row(f"a step of {plan.dataset.batch_size}", giga(planning.flops(plan), "FLOP"))
    shown.add_row("the run", f"{plan.total_steps:,} steps")
    return shown


def parameters(plan: Plan) -> dict[str, int]:
    """Returns the number of params by top module, or by player and top module."""
    # A config of several models names each of them, and the params are nested by these names.
    depth = 1 if "name" in plan.recipe.model else 2
    counts: dict[str, int] = {}
    for path, leaf in trees.flatten(plan.state.params).items():
        top = "/".join(path.split("/")[:depth])
        counts[top] = counts.get(top, 0) + math.prod(leaf.shape)
    return counts


def debug(values: Mapping[str, Any], show: Callable[[str], None]) -> bool:
    """Takes the first training step without jit, on one device, and shows the shapes of all calls.

    The step starts from initial params, also with `init_from`. Examples are loaded by the host.

    Args:
      values: the config.
      show: shows a line to the user.

    Returns:
      Whether the step is finite.

    Raises:
      FloatingPointError: an operation gives NaN.
      ConfigError: the run would not start, or there are several processes. If the config does not
        fit together, the error of the trace is raised instead.
    """
    if jax.process_count() > 1:
        raise ConfigError(f"--debug takes one process, not {jax.process_count()}")
    read(values)
    try:
        plan = planned(_on_one_device(values), jax.devices()[:1])
    except MisfitError as error:
        raise error.__cause__ from None
    feed = Feed(plan)
    show("batch")
    for name, x in feed.first.items():
        show(f"  {name}: {shape(x)}")
    with jax.debug_nans(True):
        # Compiled, because random draws of a large model take minutes without jit.
        carry = stepping.initial_carry(plan, feed)
        show("calls of a step")
        with jax.disable_jit(), nn.intercept_methods(_showing(show)):
            carry, _ = stepping.step(plan, carry, feed.first, feed.constants)
    show("metrics of a step")
    for name, value in summarize(jax.device_get(carry.totals), plan.task.summaries).items():
        show(f"  {name}: {value:.5g}" if isinstance(value, float) else f"  {name}: {shape(value)}")
    finite = not bool(jnp.any(carry.broken)) and not int(carry.skipped["steps"])
    show("the step is finite" if finite else "the step is not finite")
    return finite


def _on_one_device(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a config without what only many devices or many steps need."""
    dataset = {**values["dataset"], "cache": "none"}
    return {**values, "dataset": dataset, "parallel": {}, "steps_per_call": 1}


def _showing(show: Callable[[str], None]) -> nn.module.Interceptor:
    """Returns an interceptor of Flax that shows each call of a module once: its shapes."""
    seen = set()

    def showing(call: Callable, args: tuple, kwargs: dict, context: nn.module.InterceptorContext):
        made = call(*args, **kwargs)
        module, method = context.module, context.method_name
        if method != "setup" and module.scope is not None:
            name = "/".join(module.path) or "(the model itself)"
            name += "" if method == "__call__" else f".{method}"
            line = f"  {name} ({type(module).__name__}): {_shapes((args, kwargs))}"
            line += f" -> {_shapes(made)}"
            if line not in seen:
                show(line)
            seen.add(line)
        return made

    return showing


def _shapes(tree: PyTree) -> str:
    return ", ".join(filter(None, map(shape, jax.tree.leaves(tree)))) or "nothing"
