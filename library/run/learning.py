"""The optimizers and the length of a run: training methods, learning rates and durations."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import optax

from library import config, task
from library.config import ConfigError
from library.optim import optimizers
from library.run.sections import Dataset, Recipe


def durations(
    recipe: Recipe, dataset: Dataset, num_examples: int | None
) -> tuple[int, Callable[[str], int]]:
    """Returns the steps of a run, and the function from a duration to a number of steps.

    Args:
      recipe: the run's config.
      dataset: the config's `dataset` section.
      num_examples: examples per epoch; None for a run without data.

    Raises:
      ConfigError: the run has less than one step, or 2^32 or more examples.
    """
    sizes = {
        "batch_size": dataset.batch_size,
        "num_examples": num_examples,
        "units": _units(recipe),
    }
    total = config.duration(recipe.total, **sizes)
    if total < 1:
        raise ConfigError(f"total={recipe.total!r} is less than one step")
    if total * dataset.batch_size >= 2**32:
        # An example's `index`, from which its keys derive, is a uint32.
        raise ConfigError(
            f"total={recipe.total!r} is {total * dataset.batch_size:,} examples: valid are at most "
            f"{2**32 - 1:,}"
        )
    return total, functools.partial(config.duration, **sizes, total=total)


def learners(
    recipe: Recipe, *, axis_name: str | None, **sizes: Any
) -> tuple[dict[str, Callable], dict[str, optax.Schedule]]:
    """Returns `minimize` and `alternate` with the run's optimizers, and the learning rates.

    Args:
      recipe: the run's config.
      axis_name: the device axis to sum over, under `pmap`.
      **sizes: sizes of the run, see `optimizers.make_optimizer`.

    Returns:
      Arguments of a task by name, and learning rates by name, as functions of the step. Both are
      empty for a task that updates its params itself.

    Raises:
      ConfigError: an optimizer is invalid, is missing, or is given to a task that takes none.
    """
    _check_needed(recipe)
    if recipe.optimizer is None:
        return {}, {}
    shared = dict(
        average=config.read(task.Average, recipe.ema, "ema") if recipe.ema else None,
        accumulate=recipe.accumulate,
        on_nonfinite=recipe.on_nonfinite,
        axis_name=axis_name,
    )
    players = optimizers.by_player(recipe.optimizer)
    if players is None:
        made, schedule = optimizers.make_optimizer(recipe.optimizer, **sizes)
        hold = optimizers.make_hold(recipe.optimizer)
        minimize = functools.partial(task.minimize, optimizer=made, hold=hold, **shared)
        alternate = functools.partial(task.alternate, optimizers=made, **shared)
        return {"minimize": minimize, "alternate": alternate}, {"learning_rate": schedule}
    made = optimizers.make_optimizers(players, **sizes)
    alternate = functools.partial(
        task.alternate,
        optimizers={name: player.optimizer for name, player in made.items()},
        updates={name: player.updates for name, player in made.items()},
        **shared,
    )
    rates = {f"{name}_learning_rate": player.learning_rate for name, player in made.items()}
    return {"alternate": alternate}, rates


def by_player(recipe: Recipe) -> Mapping[str | None, Mapping[str, Any]]:
    """Returns the optimizers of a recipe by player; one for all players has the key None."""
    if recipe.optimizer is None:
        return {}
    return optimizers.by_player(recipe.optimizer) or {None: recipe.optimizer}


def _units(recipe: Recipe) -> Mapping[str, float]:
    """Returns the task's own units of durations, and how many of each make a step.

    A task's function may have an attribute `units`, a function of the task's arguments.
    """
    spec, function = config.plain(recipe.task), _task_of(recipe)
    declared = getattr(function, "units", None)
    if declared is None:
        return {}
    parameters = inspect.signature(function).parameters
    defaults = {k: p.default for k, p in parameters.items() if p.default is not p.empty}
    units = declared(**{**defaults, **{k: v for k, v in spec.items() if k in parameters}})
    for unit, many in units.items():
        if unit.rstrip("s") in {known.rstrip("s") for known in config.UNITS} or not many > 0:
            raise ConfigError(f"task {spec['name']!r} declares {many} {unit} a step")
    return units


def _check_needed(recipe: Recipe) -> None:
    """Checks that a recipe has an optimizer if and only if its task minimizes a loss."""
    name, taken = recipe.task.get("name"), inspect.signature(_task_of(recipe)).parameters
    learns = bool({"minimize", "alternate"} & set(taken))
    if learns and recipe.optimizer is None:
        raise ConfigError(
            f"config needs 'optimizer': task {name!r} minimizes a loss; write, for example, "
            "optimizer=dict(name='adam', learning_rate=1e-3)"
        )
    if learns:
        return
    for key, unset in (("optimizer", None), ("accumulate", 1), ("ema", None)):
        if getattr(recipe, key) != unset:
            raise ConfigError(
                f"{key}={getattr(recipe, key)!r} has no effect: task {name!r} updates its params "
                "itself; leave it out"
            )


def _task_of(recipe: Recipe) -> Callable:
    """Returns the function that the recipe's task names."""
    spec = config.plain(recipe.task)
    if "name" not in spec:
        valid = config.nearest("", config.available("library.tasks"))
        raise ConfigError(f"a task needs a name: {valid}")
    return config.locate(spec["name"], "library.tasks", "task")
