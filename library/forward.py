"""How a task runs its model: to begin with, in a training step, in an evaluation."""

from collections.abc import Mapping, Sequence
from typing import Any

from flax import linen as nn
from jaxtyping import Array, PRNGKeyArray, PyTree, UInt32

from library import rng
from library.task import TrainState


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
    """Runs a model as training does: it drops out, and moves its variables.

    Args:
      model: `(*inputs, train) -> outputs`.
      params: the model's.
      variables: the model's other collections, by name.
      inputs: what the model takes, in order.
      key: of the step.
      index: places of the examples in the run's order, (b,).
      train: False runs the model as it is in evaluation.
      recorded: collections beside the variables that the model writes, such as "intermediates".

    Returns:
      The outputs, and the variables as the model leaves them, with what it records.
    """
    outputs, moved = model.apply(
        {"params": params, **variables},
        *inputs,
        train=train,
        rngs=streams(key, index),
        mutable=[*variables, *recorded],
    )
    return outputs, {**variables, **moved}


def initialized(
    model: nn.Module, key: PRNGKeyArray, batch: Mapping[str, Any], inputs: Sequence[str]
) -> PyTree:
    """Returns the variables that a model begins with, of the features that it takes."""
    return model.init(rng.purpose(key, "params"), *(batch[name] for name in inputs), train=False)


def evaluated(
    model: nn.Module, state: TrainState, batch: Mapping[str, Any], inputs: Sequence[str]
) -> Any:
    """Runs a model as it is in evaluation, on the features that it takes."""
    variables = {"params": state.params, **state.variables}
    return model.apply(variables, *(batch[name] for name in inputs), train=False)


def streams(key: PRNGKeyArray, index: UInt32[Array, " b"]) -> dict[str, PRNGKeyArray]:
    """Returns the random streams of a model in training: one of dropout, for the batch it sees."""
    return {"dropout": rng.for_batch(key, index, "dropout")}
