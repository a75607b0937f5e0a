"""Restoring the trained state of a run, to evaluate it or to use it in another run."""

import functools
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from library import rng, task, trees
from library.config import ConfigError, nearest
from library.evaluation.context import Judge
from library.run import checkpoints, data_record, workdir
from library.task import TrainState


def state_like(shapes: TrainState, folder: Path, *, which: str) -> tuple[int, TrainState]:
    """Reads a checkpoint's state into host arrays.

    Args:
      shapes: the shapes of the state that the config builds.
      folder: the run's workdir.
      which: the "latest" or the "best" checkpoint.

    Returns:
      The checkpoint's step, and the state.

    Raises:
      ConfigError: there is no such checkpoint, or it holds another model.
    """
    step, leaves = checkpoints.load(folder, which=which)
    paths = [f"state/{path}" for path in trees.paths(shapes)]
    missing = [path for path in paths if path not in leaves]
    if missing:
        raise ConfigError(f"the {which} checkpoint of {folder} has no {missing[0]}")
    ordered = [leaves[path] for path in paths]
    for path, found, wanted in zip(paths, ordered, jax.tree.leaves(shapes)):
        if found.shape != wanted.shape:
            raise ConfigError(f"{path} is {found.shape} in {folder}, and {wanted.shape} here")
    return step, jax.tree.unflatten(jax.tree.structure(shapes), jax.device_get(ordered))


def judge(make_plan: Callable[[Mapping[str, Any]], Any], folder: str, output: str) -> Judge:
    """Returns an output of a finished run as a pure function of images in [0, 1].

    It uses the newest checkpoint, with its running averages if it has any.

    Args:
      make_plan: builds the plan of a config, see `recipe.make_plan`.
      folder: the run's workdir.
      output: name of the output.

    Raises:
      ConfigError: the folder has no run or no checkpoint, or the run has no such output.
    """
    learnt, apply = teacher(make_plan, folder, output)
    return functools.partial(apply, learnt)


def teacher(
    make_plan: Callable[[Mapping[str, Any]], Any], folder: str, output: str
) -> tuple[PyTree, Callable[[PyTree, Array], Array]]:
    """Returns the trained params and variables of a finished run, and a function of them.

    The params and variables are host arrays, so that they can become a part of another run's state.
    The function, `(params and variables, images in [0, 1]) -> output`, computes the named output of
    images, which the run's task gets as its one input.
    The newest checkpoint is used, with its running averages if it has any.

    Args:
      make_plan: builds the plan of a config, see `recipe.make_plan`.
      folder: the run's workdir.
      output: name of the output.

    Raises:
      ConfigError: the folder has no run or no checkpoint, or the run has no such output or takes
        several inputs.
    """
    plan, state = _learnt(make_plan, Path(folder).expanduser())
    outputs = plan.task.outputs
    if output not in outputs:
        raise ConfigError(
            f"the run in {folder} has no output {output!r}: {nearest(output, outputs)}"
        )

    inputs = plan.recipe.task.get("inputs", ("image",))
    if len(inputs) != 1:
        raise ConfigError(
            f"the run in {folder} takes {len(inputs)} inputs, {', '.join(inputs)}, but it would be "
            "given one image"
        )

    def apply(learnt: PyTree, image: Array) -> Array:
        place = jnp.arange(len(image), dtype=jnp.uint32)
        batch = {inputs[0]: image, "index": place, "row": place, "mask": jnp.ones(len(image))}
        known = state.replace(opt_state=(), ema=None, **learnt)
        return outputs[output](known, plan.normalize(batch), rng.root(0))

    return {"params": state.params, "variables": state.variables}, apply


def without_training(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the config by which a program opens a run that it does not train.

    The training split is not loaded to the devices, so steps are not joined into calls either. No
    metric has to be measured for early stopping.
    """
    dataset = {**values["dataset"], "cache": "none"}
    return {**values, "dataset": dataset, "steps_per_call": 1, "stop": None}


def without_evaluations(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a config without evaluators, and without what names their metrics.

    The files, splits and other runs that they need may be missing.
    """
    return {**values, "evaluate": {}, "checkpoint": {}, "reported": None}


@functools.lru_cache(maxsize=2)
def _learnt(make_plan, folder: Path) -> tuple[Any, TrainState]:
    if not (folder / "config.json").is_file():
        raise ConfigError(
            f"no run in {str(folder)!r}: train one there first, see the config's docstring"
        )
    values = workdir.read_config(folder)
    recorded = data_record.of_run(folder, values)
    values = without_training(without_evaluations(values))
    plan = make_plan(values, recorded=recorded, trains=False)
    _, state = state_like(plan.state, folder, which="latest")
    if recorded is None:
        print(data_record.unknown(folder), file=sys.stderr)
    return plan, jax.tree.map(np.asarray, task.learnt(state))
