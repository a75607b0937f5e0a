"""A trained system as a program of StableHLO, which needs neither this project nor Flax.

The program takes raw features, as the host preprocessing of an evaluation makes them (uint8
images, tokens, ...), and returns one output of the task. Scaling and normalization are inside, and
so are the weights.
"""

import contextlib
import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import export
from jax.interpreters import partial_eval

from library import files, rng, task
from library.apps import stablehlo_page
from library.config import ConfigError, nearest
from library.data.features import PLACE
from library.run.inputs import eval_input
from library.run.plan import Plan
from library.run.session import Trained
from library.task import TrainState

PLATFORMS = ("cpu", "cuda", "tpu")
# The default output is the first of these that a task has.
USUAL = (
    *("probabilities", "prediction", "detections", "logits", "restore", "reconstruct", "sample"),
    "features",
)
SEED = "seed"


class Program(NamedTuple):
    """An exported program.

    Attributes:
      exported: the program, a function of the inputs in order.
      inputs: the inputs by name, with the shape and dtype of one example, or of the seed.
      output: the name of the task's output.
      batch: the number of examples in a call; None for any number.
      left_out: the platforms that it is not for, each with the reason.
    """

    exported: export.Exported
    inputs: Mapping[str, jax.ShapeDtypeStruct]
    output: str
    batch: int | None
    left_out: Mapping[str, str]


def export_program(
    trained: Trained, folder: Path, *, output: str | None = None, ema: bool = True
) -> Path:
    """Writes model.stablehlo, README.md with an example, and classes.json if classes are known.

    Args:
      trained: the run.
      folder: the folder to make; it is complete or absent at every moment.
      output: the name of the task's output; by default the first of `USUAL` that there is.
      ema: whether to use the running averages if the run has them.

    Raises:
      ConfigError: flatbuffers is not installed, an error of `program`, or the folder is not empty
        or cannot be written.
    """
    plan = trained.plan
    _check_installed()
    state = jax.device_get(task.learnt(trained.state, averages=ema))
    made = program(plan, state.replace(opt_state=(), ema=None), output)
    averaged = ema and trained.state.ema is not None
    with files.new_folder(folder) as partial:
        files.write(partial / stablehlo_page.MODEL, bytes(made.exported.serialize()))
        if plan.label_names is not None:
            files.write(partial / "classes.json", files.to_json(list(plan.label_names), indent=1))
        files.write(partial / "README.md", stablehlo_page.page(plan, made, averaged))
    return folder


def program(plan: Plan, state: TrainState, output: str | None = None) -> Program:
    """Exports an output of a task for any number of examples and all platforms, where it lowers.

    Where the system does not lower for an unknown number of examples, each example is computed as
    a batch of one, all at once (`jax.vmap`). Where that does not lower either, a call takes one.

    Args:
      plan: the plan of the run.
      state: the state to use, host arrays, without optimizer state.
      output: see `export_program`.

    Raises:
      ConfigError: there is no such output, it reads features that the data do not have, or it does
        not lower.
    """
    output = _chosen(plan, output)
    known = _known(plan, output)
    inputs = _read(plan, output, known)
    state = jax.tree.map(jnp.asarray, state)
    whole = _function(plan, state, output, known, tuple(inputs))
    (size,) = export.symbolic_shape("b")
    ways = [(whole, size), (_by_example(whole, tuple(inputs)), size), (whole, 1)]
    for function, batch in ways:
        try:
            _exported(function, inputs, batch, PLATFORMS[:1])
            break
        # A layer may need the number of examples, and fails in its own way.
        except Exception as error:
            problem = error
    else:
        raise ConfigError(
            f"output {output!r} of task {plan.recipe.task['name']!r} cannot be exported: "
            f"{_first_line(problem)}"
        ) from problem
    made, left_out = _for_platforms(function, inputs, batch)
    return Program(made, inputs, output, None if batch is size else batch, left_out)


def _check_installed() -> None:
    # JAX writes and reads exported programs with it.
    if importlib.util.find_spec("flatbuffers") is None:
        raise ConfigError(
            "--format=stablehlo needs the package flatbuffers, which is missing here: "
            "pip install -r requirements.txt -c constraints.txt"
        )


def _chosen(plan: Plan, output: str | None) -> str:
    outputs, name = plan.task.outputs, plan.recipe.task["name"]
    if plan.dataset.budget is not None:
        raise ConfigError("--format=stablehlo does not support batches of graphs")
    found = output or next((each for each in USUAL if each in outputs), None)
    if found is None:
        raise ConfigError(f"task {name!r} has no usual output: name one by --returns, {[*outputs]}")
    if found not in outputs:
        raise ConfigError(f"task {name!r} has no output {found!r}: {nearest(found, outputs)}")
    return found


def _known(plan: Plan, output: str) -> dict[str, jax.ShapeDtypeStruct]:
    """Returns the features that an output asks for, then the place of an example, then a seed."""
    place = {"index": jnp.uint32, "row": jnp.uint32, "mask": jnp.float32}
    known = {k: jax.ShapeDtypeStruct(x.shape, x.dtype) for k, x in _raw(plan, output).items()}
    known |= {name: jax.ShapeDtypeStruct((), dtype) for name, dtype in place.items()}
    asked = dict.fromkeys(PLACE)
    while True:
        batch = {k: jax.ShapeDtypeStruct((1, *known[k].shape), known[k].dtype) for k in asked}
        try:
            jax.eval_shape(lambda state, x: _called(plan, state, output, x, 0), plan.state, batch)
            break
        except KeyError as missing:
            name = missing.args[0]
            if name in asked or name not in known:
                raise ConfigError(
                    f"output {output!r} reads {name!r}, which examples do not have: "
                    f"{nearest(name, known)}; name another output by --returns"
                ) from missing
            asked[name] = None
    # Systems that also take a feature without a mask do not ask for it.
    masks = (f"{name}_mask" for name in asked)
    asked |= dict.fromkeys(mask for mask in masks if mask in known)
    names = [name for name in known if name in asked]
    return {**{k: known[k] for k in names}, SEED: jax.ShapeDtypeStruct((), jnp.uint32)}


def _read(
    plan: Plan, output: str, known: Mapping[str, jax.ShapeDtypeStruct]
) -> dict[str, jax.ShapeDtypeStruct]:
    """Returns the inputs among `known` on which an output depends, without the mask."""

    def predict(state, *given):
        return _function(plan, state, output, known, tuple(known))(*given)

    given = [_batched(name, x, 1) for name, x in known.items()]
    traced = jax.make_jaxpr(predict)(plan.state, *given).jaxpr
    _, used = partial_eval.dce_jaxpr(traced, [True] * len(traced.outvars))
    read = [name for name, each in zip(known, used[-len(known) :]) if each and name != "mask"]
    return {name: known[name] for name in read}


def _raw(plan: Plan, output: str) -> dict[str, np.ndarray]:
    """Returns an example of evaluation as the program takes it."""
    blank = dict(plan.splits.evaluated().blank)
    if _continues(plan, blank):
        blank["tokens"] = blank["tokens"][:-1]
    return blank


def _continues(plan: Plan, features: Mapping[str, Any]) -> bool:
    # A window of text has one token more than the model takes, the last one to predict.
    return plan.loader.source.tokenizer is not None and "tokens" in features


def _called(plan: Plan, state: TrainState, output: str, batch: Mapping, seed: Any) -> Any:
    """Returns an output of raw features, as `generate` and `evaluate` with this seed make it."""
    if _continues(plan, batch):
        batch = {**batch, "tokens": jnp.pad(batch["tokens"], ((0, 0), (0, 1)))}
    key = rng.purpose(rng.root(seed), "evaluate")
    given = eval_input(plan, batch, {"resident": {}})
    return plan.task.outputs[output](state, given, key)


def _function(
    plan: Plan,
    state: TrainState,
    output: str,
    known: Mapping[str, jax.ShapeDtypeStruct],
    names: Sequence[str],
) -> Callable:
    """Returns a function of the inputs `names`; the mask becomes ones, and the others zeros."""

    def predict(*given):
        found = dict(zip(names, given))
        size = next((x.shape[0] for name, x in found.items() if name != SEED), 1)
        shapes = {name: _batched(name, x, size) for name, x in known.items() if name not in found}
        others = {k: jnp.full(x.shape, k == "mask", x.dtype) for k, x in shapes.items()}
        batch = {**others, **found}
        seed = batch.pop(SEED)
        return _called(plan, state, output, batch, seed)

    return predict


def _by_example(function: Callable, names: Sequence[str]) -> Callable:
    """Returns a function of a batch that calls a function of batches for each example."""

    def of_one(*given):
        batch = [x if name == SEED else x[None] for name, x in zip(names, given)]
        return jax.tree.map(lambda x: x[0], function(*batch))

    return jax.vmap(of_one, in_axes=tuple(None if name == SEED else 0 for name in names))


def _batched(name: str, x: jax.ShapeDtypeStruct, size: Any) -> jax.ShapeDtypeStruct:
    """Returns the shape of an input of `size` examples."""
    return x if name == SEED else jax.ShapeDtypeStruct((size, *x.shape), x.dtype)


def _exported(
    function: Callable,
    inputs: Mapping[str, jax.ShapeDtypeStruct],
    batch: Any,
    platforms: Sequence[str],
) -> export.Exported:
    shapes = [_batched(name, x, batch) for name, x in inputs.items()]
    with _no_places():
        return export.export(jax.jit(function), platforms=list(platforms))(*shapes)


@contextlib.contextmanager
def _no_places() -> Iterator[None]:
    """Keeps the files and lines of the code, and with them the user's paths, out of programs."""
    usual = jax.config.jax_traceback_in_locations_limit
    jax.config.update("jax_traceback_in_locations_limit", 0)
    try:
        yield
    finally:
        jax.config.update("jax_traceback_in_locations_limit", usual)


def _for_platforms(
    function: Callable, inputs: Mapping[str, jax.ShapeDtypeStruct], batch: Any
) -> tuple[export.Exported, dict[str, str]]:
    """Exports for all platforms, or else for those for which the function lowers."""
    try:
        return _exported(function, inputs, batch, PLATFORMS), {}
    except Exception as error:
        problem = error
    left_out = {}
    for platform in PLATFORMS:
        try:
            _exported(function, inputs, batch, [platform])
        except Exception as error:
            left_out[platform] = _first_line(error)
    both = [platform for platform in PLATFORMS if platform not in left_out]
    if len(both) == len(PLATFORMS):
        # Each lowers, but not all together.
        both, left_out = both[:1], dict.fromkeys(both[1:], _first_line(problem))
    return _exported(function, inputs, batch, both), left_out


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return f"{type(error).__name__}: {lines[0][:200]}"
