"""How a task runs its model: at initialization, in a training step and in evaluation."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flax import linen as nn
from jaxtyping import Array, PRNGKeyArray, PyTree, UInt32

from library import rng
from library.config import nearest
from library.task import Batch, TrainState


def applied(
    model: nn.Module,
    params: PyTree,
    variables: PyTree,
    inputs: Sequence[Any],
    key: PRNGKeyArray,
    index: UInt32[Array, " b"],
    *,
    train: bool = True,
    recorded: Sequence[str] = (),
) -> tuple[Any, dict[str, PyTree]]:
    """Runs a model in training: with dropout, and with updates of its variables.

    Args:
      model: a module, `(*inputs, train) -> outputs`.
      params: the model's params.
      variables: the model's other collections, by name.
      inputs: the model's inputs, in order.
      key: the random key of the step.
      index: positions of the examples in the run's order, (b,).
      train: whether the model is in training mode.
      recorded: further collections that the model writes, such as "intermediates".

    Returns:
      The outputs, and the new variables together with the recorded collections.
    """
    outputs, moved = model.apply(
        {"params": params, **variables},
        *inputs,
        train=train,
        rngs=streams(key, index),
        mutable=[*variables, *recorded],
    )
    return outputs, {**variables, **moved}


def trained(
    model: nn.Module,
    params: PyTree,
    variables: PyTree,
    batch: Batch,
    inputs: Sequence[str],
    key: PRNGKeyArray,
    **options: Any,
) -> tuple[Any, dict[str, PyTree]]:
    """Runs a model in training on the features that `inputs` names; otherwise as `applied`."""
    given = [batch[name] for name in inputs]
    return applied(model, params, variables, given, key, batch["index"], **options)


def initialized(
    model: nn.Module, key: PRNGKeyArray, batch: Mapping[str, Any], inputs: Sequence[str]
) -> PyTree:
    """Returns a model's initial variables; `inputs` names the features that the model takes."""
    return model.init(rng.purpose(key, "params"), *(batch[name] for name in inputs), train=False)


def evaluated(
    model: nn.Module, state: TrainState, batch: Mapping[str, Any], inputs: Sequence[str]
) -> Any:
    """Runs a model in evaluation; `inputs` names the features that the model takes."""
    given = (batch[name] for name in inputs)
    return model.apply(variables_of(state), *given, train=False)


def variables_of(state: TrainState) -> dict[str, PyTree]:
    """Returns the variables of a state as `apply` takes them: its params and other collections."""
    return {"params": state.params, **state.variables}


def recorded_outputs(
    model: nn.Module, inputs: tuple[str, ...] = ("image",)
) -> dict[str, Callable[..., Any]]:
    """Returns the outputs that any model has from the intermediates that it stores.

    They are "intermediates", all arrays that the model stores, nested like its submodules, and
    "features" (b, d), by convention the input of its head.

    Args:
      model: the model.
      inputs: names of the features that the model takes.
    """

    def intermediates(state: TrainState, batch: Batch, key: PRNGKeyArray) -> PyTree:
        variables, given = variables_of(state), [batch[name] for name in inputs]
        _, recorded = model.apply(variables, *given, train=False, mutable=["intermediates"])
        return recorded.get("intermediates", {})

    def features(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Array:
        recorded = intermediates(state, batch, key)
        if "features" not in recorded:
            name = type(model).__name__
            raise ValueError(f"{name} records no 'features': {nearest('features', recorded)}")
        return recorded["features"]

    return {"features": features, "intermediates": intermediates}


def streams(key: PRNGKeyArray, index: UInt32[Array, " b"]) -> dict[str, PRNGKeyArray]:
    """Returns the random streams of a model in training: one, for the dropout of the batch."""
    return {"dropout": rng.for_batch(key, index, "dropout")}
