"""Bringing back what a run has learnt, to evaluate it, to show it, or to judge another by it."""

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
      shapes: the state that the config builds.
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
    """Returns what a finished run makes of images, as a pure function of images in [0, 1].

    The newest checkpoint is used, with its running averages where it has them.

    Raises:
      ConfigError: there is no run, it has no such output, or no checkpoint.
    """
    learnt, apply = teacher(make_plan, folder, output)
    return functools.partial(apply, learnt)


def teacher(
    make_plan: Callable[[Mapping[str, Any]], Any], folder: str, output: str
) -> tuple[PyTree, Callable[[PyTree, Array], Array]]:
    """Returns what a finished run has learnt, and what it makes of images in [0, 1] with that.

    The first are its params and variables, host arrays, which can so be a part of another run's
    state. The newest checkpoint is used, with its running averages where it has them.

    Raises:
      ConfigError: as `judge`.
    """
    plan, state = _learnt(make_plan, Path(folder).expanduser())
    outputs = plan.task.outputs
    if output not in outputs:
        raise ConfigError(
            f"the run in {folder} has no output {output!r}: {nearest(output, outputs)}"
        )

    def apply(learnt: PyTree, image: Array) -> Array:
        place = jnp.arange(len(image), dtype=jnp.uint32)
        batch = {"image": image, "index": place, "row": place, "mask": jnp.ones(len(image))}
        known = state.replace(opt_state=(), ema=None, **learnt)
        return outputs[output](known, plan.normalize(batch), rng.root(0))

    return {"params": state.params, "variables": state.variables}, apply


@functools.lru_cache(maxsize=2)
def _learnt(make_plan, folder: Path) -> tuple[Any, TrainState]:
    if not (folder / "config.json").is_file():
        raise ConfigError(
            f"no run in {str(folder)!r}: train one there first, see the config's docstring"
        )
    values = workdir.read_config(folder)
    # Checkpoints and claims refer to what evaluators measure.
    unread = {"evaluate": {}, "checkpoint": {}, "reported": None}
    recorded = data_record.of_run(folder, values)
    opened = {**values, **unread, "dataset": {**values["dataset"], "cache": "none"}}
    plan = make_plan(opened, recorded=recorded)
    _, state = state_like(plan.state, folder, which="latest")
    if recorded is None:
        print(data_record.unknown(folder), file=sys.stderr)
    return plan, jax.tree.map(np.asarray, task.learnt(state))
