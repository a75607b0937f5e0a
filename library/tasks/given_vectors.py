"""Vectors of words that a data set gives: a step writes those of its batch into a table.

So published vectors become a run like any other: evaluators measure them, and other runs start from
them with `init_from`.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, PRNGKeyArray

from library import rng
from library.config import ConfigError
from library.finite import nan_unless
from library.task import Batch, Metrics, Task, TrainState, pair, where_present


def given_vectors(
    model: nn.Module,
    *,
    vocab_size: int,
    word: str = "text",
    vector: str = "vector",
    axis_name: str | None = None,
) -> Task:
    """Builds the task of remembering `batch[vector]` (b, d) for the token `batch[word][:, 0]`.

    After one epoch the table holds the vectors of the whole set, in any order. If a batch has a
    token more than once, the mean of its vectors is written. The metric of training and evaluation
    is loss, the squared distance between a given vector and that of the table; that of training is
    measured before the step.

    Outputs: "features" (b, t, d), the vectors of `batch[word]` (b, t).

    Args:
      model: `tokens -> vectors (..., d)`, with one param (vocab_size, d).
      vocab_size: number of tokens in the vocabulary of the data.
      word: the feature of tokens, of which the first counts.
      vector: the feature of the vectors.
      axis_name: the device axis to sum over, under `pmap`.

    Raises:
      ConfigError: (when traced) the model has other params, or the vectors another size.
    """

    def init(key: PRNGKeyArray, batch: Batch) -> TrainState:
        params = model.init(rng.purpose(key, "params"), batch[word])["params"]
        shapes = [leaf.shape for leaf in jax.tree.leaves(params)]
        wanted = (vocab_size, batch[vector].shape[-1])
        if shapes != [wanted]:
            raise ConfigError(
                f"given_vectors: the model's params have shapes {shapes}; valid is one table "
                f"{wanted}, as of word_table with width={wanted[1]}"
            )
        return TrainState(jnp.zeros((), jnp.int32), params, {}, (), None)

    def features(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b t d"]:
        return model.apply({"params": state.params}, batch[word])

    def evaluate(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        known = model.apply({"params": state.params}, batch[word][:, 0])
        return {"loss": pair(jnp.sum(jnp.square(known - batch[vector]), axis=-1), batch["mask"])}

    def update(state: TrainState, batch: Batch, key: PRNGKeyArray) -> tuple[TrainState, Metrics]:
        token, mask = batch[word][:, 0], batch["mask"]
        metrics = evaluate(state, batch, key)
        # A token outside the vocabulary must show: it would change no row.
        inside = (token >= 0) & (token < vocab_size)
        loss, count = metrics["loss"]
        metrics = {"loss": (nan_unless(jnp.all(inside | (mask == 0)), loss), count)}
        zeros = jnp.zeros((vocab_size, batch[vector].shape[-1]))
        given = where_present(batch[vector], mask)
        sums = (zeros.at[token].add(given), zeros[:, :1].at[token].add(mask[:, None]))
        if axis_name is not None:
            sums, metrics = jax.lax.psum((sums, metrics), axis_name)
        total, times = sums

        def written(table: Float[Array, "v d"]) -> Float[Array, "v d"]:
            return jnp.where(times > 0, total / jnp.maximum(times, 1), table).astype(table.dtype)

        params = jax.tree.map(written, state.params)
        return state.replace(step=state.step + 1, params=params), metrics

    return Task(init, update, evaluate, {"features": features})
