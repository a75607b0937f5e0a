"""A workdir as a run leaves it, whose state is noise: made without any training."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from library.run import data_record
from library.run.checkpoints import Checkpoints
from library.run.plan import Plan
from library.run.recipe import make_plan
from library.run.workdir import open_workdir
from library.task import TrainState

IDENTITY = {
    "path": "configs/cnn/digits.py",
    "found": "the project, /nowhere/configs/cnn/digits.py",
    "overrides": {},
    "command": "python -m experiments.train --config=configs/cnn/digits.py",
}


def noise(shapes: TrainState, seed: int = 0) -> TrainState:
    """Returns a state of noise: floats from 0.5 to 1.5, of either sign where they are params."""
    random = np.random.default_rng(seed)

    def drawn(x: Any, signed: bool) -> np.ndarray:
        if not jax.numpy.issubdtype(x.dtype, np.floating):
            return random.integers(0, 2, x.shape).astype(x.dtype)
        sign = random.choice([-1.0, 1.0], x.shape) if signed else 1.0
        return np.asarray(sign * random.uniform(0.5, 1.5, x.shape)).astype(x.dtype)

    def tree(part: Any, signed: bool = False) -> Any:
        return jax.tree.map(lambda x: drawn(x, signed), part)

    ema = shapes.ema and {name: tree(part, name == "params") for name, part in shapes.ema.items()}
    return TrainState(
        np.int32(7),
        tree(shapes.params, True),
        tree(shapes.variables),
        tree(shapes.opt_state),
        ema,
    )


def run(values: Mapping[str, Any], folder: Path, *, seed: int = 0, **identity: Any) -> Plan:
    """Makes the workdir of a run of 7 steps, and returns its plan."""
    plan = make_plan(values, devices=jax.devices()[:1])
    open_workdir(folder, values, {**IDENTITY, **identity})
    data_record.write(folder, plan.splits.found())
    opened = Checkpoints(folder)
    state = jax.tree.map(jax.numpy.asarray, noise(plan.state, seed))
    opened.save(7, {"state": state, "totals": {}}, {}, best=False)
    opened.close()
    return plan
