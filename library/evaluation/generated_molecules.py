"""How many molecules of a generator may exist, are different, and are not those of training."""

import numpy as np
from jaxtyping import Array, Int, PRNGKeyArray

from library import molecular_graphs
from library.config import ConfigError
from library.evaluation.context import Context, Evaluator, collected
from library.summaries import Summary, divide
from library.task import Batch, TrainState


def generated_molecules(
    context: Context, *, num: int = 1000, split: str = "train", batch_size: int | None = None
) -> Evaluator:
    """Draws molecules and measures validity, uniqueness and novelty.

    Validity is the rule of `library.molecular_graphs.is_valid`; "known" states the share of the
    molecules of the data that keep it, the highest that is to be expected. Uniqueness is the share
    of different molecules among the valid ones, and novelty the share of the different ones that
    are not in the split. Molecules are compared as graphs, whatever the order of their atoms.

    Args:
      context: the task, the data and functions to run over them.
      num: number of molecules to draw.
      split: the split with the molecules that are not new.
      batch_size: molecules per batch; `dataset.eval_batch_size` by default.

    Returns:
      `state -> {"validity", "uniqueness", "novelty", "known"}`, from 0 to 1; nan of nothing.

    Raises:
      ConfigError: `num` is below 1, or the task draws no molecules.
    """
    if num < 1:
        raise ConfigError(f"generated_molecules, num={num}: valid are 1 or more")
    if "molecule" not in context.task.outputs:
        raise ConfigError("generated_molecules: the task has no output 'molecule'")

    def draw(state: TrainState, batch: Batch, key: PRNGKeyArray) -> dict[str, Array]:
        made = context.task.outputs["molecule"](state, batch, key)
        return {"molecule": made, "mask": batch["mask"]}

    def read(state: TrainState, batch: Batch, key: PRNGKeyArray) -> dict[str, Array]:
        return {name: batch[name] for name in ("atoms", "bonds", "mask")}

    drawing, reading = context.collect(draw), context.collect(read)

    def evaluate(state: TrainState) -> Summary:
        made = collected(drawing, state, context.draws(num, batch_size))["molecule"]
        data = collected(reading, state, context.batches(split, batch_size), split)
        known = [*zip(data["atoms"], data["bonds"])]
        return measured([(x[:, 0], x[:, 1:]) for x in made], known)

    return evaluate


def measured(
    made: list[tuple[Int[np.ndarray, " k"], Int[np.ndarray, "k k"]]],
    known: list[tuple[Int[np.ndarray, " k"], Int[np.ndarray, "k k"]]],
) -> Summary:
    """Returns the shares for molecules that were made, given those of the data."""
    valid = [x for x in made if molecular_graphs.is_valid(*x)]
    different = {molecular_graphs.canonical(*x) for x in valid}
    old = {molecular_graphs.canonical(*x) for x in known}
    return {
        "validity": float(divide(len(valid), len(made))),
        "uniqueness": float(divide(len(different), len(valid))),
        "novelty": float(divide(len(different - old), len(different))),
        "known": float(divide(sum(molecular_graphs.is_valid(*x) for x in known), len(known))),
    }
