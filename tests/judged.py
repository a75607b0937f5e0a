"""Evaluators' contexts whose generated images are given, and a judge that sees pixels."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from library.evaluation.context import Context
from library.task import Task, TrainState

STATE = TrainState(jnp.int32(0), {}, {"batch_stats": jnp.ones(3)}, (), None)
SHAPES = jax.eval_shape(lambda: STATE)


def pixels(values: np.ndarray) -> np.ndarray:
    """Returns whole numbers (n, d), 0 to 255, as images (n, 1, d, 1) in [0, 1]."""
    return np.float32(values)[:, None, :, None] / 255


def make_context(
    real: np.ndarray, generated: np.ndarray, *, size: int = 4, judge: Callable | None = None
) -> Context:
    """Makes a context of images (n, h, w, c), whose judge gives back the whole numbers."""
    key = jax.random.key(0)

    def padded(num, size):
        for start in range(0, num, size):
            index = np.arange(start, start + size)
            row = np.minimum(index, num - 1).astype(np.uint32)
            yield {"index": np.uint32(index), "row": row, "mask": np.float32(index < num)}

    def batches(split, batch_size):
        for batch in padded(len(real), batch_size or size):
            # What lies in the padding must not matter.
            there = batch["mask"][:, None, None, None] > 0
            yield {**batch, "image": np.where(there, real[batch["row"]], np.nan)}

    def draws(num, batch_size=None, features=None):
        return padded(num, batch_size or size)

    def sample(state, batch, key):
        assert set(state.variables) == {"batch_stats"}
        assert "image" not in batch
        return jnp.asarray(generated)[batch["row"]]

    def collect(function):
        compiled = jax.jit(function)
        return lambda state, batch: jax.device_get(compiled(state, batch, key))

    task = Task(None, None, None, {"sample": sample})
    whole = judge or (lambda image: jnp.round(image.reshape(len(image), -1) * 255))
    return Context(
        task,
        batches,
        None,
        collect,
        draws=draws,
        num_examples=lambda split: len(real),
        judge=lambda *_: whole,
    )


def rehearsing(context: Context) -> Context:
    """Returns a context that computes nothing: zeros in place of all results."""

    def collect(function):
        def zeros(state, batch):
            shapes = jax.eval_shape(function, state, batch, jax.random.key(0))
            return jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)

        return zeros

    return context._replace(collect=collect)


def noting_splits(context: Context) -> tuple[Context, list[str]]:
    """Returns a context that notes in the list which splits are read."""
    splits = []

    def batches(split, batch_size):
        splits.append(split)
        return context.batches(split, batch_size)

    return context._replace(batches=batches), splits
