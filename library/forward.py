"""How a task runs its model: at initialization, in a training step and in evaluation."""

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


def initialized(
    model: nn.Module, key: PRNGKeyArray, batch: Mapping[str, Any], inputs: Sequence[str]
) -> PyTree:
    """Returns a model's initial variables; `inputs` names the features that the model takes."""
    return model.init(rng.purpose(key, "params"), *(batch[name] for name in inputs), train=False)


def evaluated(
    model: nn.Module, state: TrainState, batch: Mapping[str, Any], inputs: Sequence[str]
) -> Any:
    """Runs a model in evaluation; `inputs` names the features that the model takes."""
    variables = {"params": state.params, **state.variables}
    return model.apply(variables, *(batch[name] for name in inputs), train=False)


def streams(key: PRNGKeyArray, index: UInt32[Array, " b"]) -> dict[str, PRNGKeyArray]:
    """Returns the random streams of a model in training: one, for the dropout of the batch."""
    return {"dropout": rng.for_batch(key, index, "dropout")}
