"""Language modelling: predicting each token of a text from those before it.

The loss is the mean negative log-likelihood of a token, in nats (Bengio et al. 2003, section 2);
perplexity is its exponential.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from library import rng
from library.config import ConfigError
from library.decoding import sample
from library.finite import nan_unless
from library.forward import streams
from library.layers.vocabulary_loss import cross_entropy
from library.task import Batch, Learner, Metrics, Task, TrainState, where_present


def language(
    model: nn.Module,
    minimize: Callable[..., Learner],
    *,
    vocab_size: int,
    num_examples: int,
    batch_size: int,
    chunk: int | None = None,
    carry: bool = True,
    order: str = "streams",
    axis_name: str | None = None,
) -> Task:
    """Builds the task of predicting `batch["tokens"][:, 1:]` from `batch["tokens"][:, :-1]`.

    `batch["segments"]` (b, t + 1), if present, numbers the documents packed into a window. The
    model treats each document as if it were alone: nothing precedes the first token of a segment,
    so that token does not count; padding, segment 0, does not count either. The metrics of training
    and evaluation are loss and accuracy, means over all tokens that count, not over windows.

    A recurrent model (its attribute `recurrent` is true) starts each window from the state that the
    previous window of its lane ends with. No gradient flows through that state (truncated
    backpropagation through time, Williams & Peng 1990). The data must come in order,
    `dataset.order="streams"`: lane j of the batch reads the rows from
    j (num_examples // batch_size) on. `state.variables["carry"]` holds the states of all lanes,
    zero where a lane starts. Evaluation and outputs start each window from zero.

    Outputs: "logits" (b, t, v) of `tokens[:, 1:]`; "features" (b, t, d), from which the logits are
    computed; "generate" and "generate_uncached", see `_generate`.

    Args:
      model: `hidden(tokens (b, t), train=...)` returns (b, t, d), and `attend` turns it into logits
        (b, t, vocab_size); `step` and `initial_cache` decode. See library/models/sequence/gpt.py.
        A recurrent model's `hidden` also takes `carry` and `reset` (b,), True where the carry
        becomes zero, and also returns the carry.
      minimize: turns a loss into the training step.
      vocab_size: number of tokens in the vocabulary of the data.
      num_examples: windows per epoch; with "streams" the windows of the training split.
      batch_size: windows per step.
      chunk: tokens of the vocabulary per part of the loss, which is computed in parts, see
        `library.layers.vocabulary_loss`; the model's method `vocabulary` returns the weights.
      carry: whether a recurrent model keeps its state between windows of training. False starts
        every window from zero, for windows in any order.
      order: the order of the data; only with "streams" is the carry kept between batches.
      axis_name: the device axis to sum over, under `pmap`.

    Raises:
      ConfigError: the model has another vocabulary, `chunk` is below 1, the model has no
        `vocabulary` for it, or the carry cannot be kept: under `pmap`, with fewer windows than
        `batch_size`, or with another order than "streams".
    """
    _check(model, vocab_size, chunk)
    carried = carry and _recurrent(model)
    if carried:
        _check_carry(axis_name, order, num_examples, batch_size)
    lane = num_examples // batch_size if carried else 0

    def init(key: PRNGKeyArray, batch: Batch) -> TrainState:
        tokens = batch["tokens"][:, :-1]
        variables = dict(model.init(rng.purpose(key, "params"), tokens))
        if carried:
            variables["carry"] = model.initial_cache(len(tokens), tokens.shape[1])
        return learner.init(variables)

    def objective(
        params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Metrics, PyTree]:
        options = {"rngs": streams(key, batch["index"])}
        if carried:
            _check_lanes(variables["carry"], batch)
            options |= {"carry": variables["carry"], "reset": batch["row"] % lane == 0}
        weights = _weights(params, variables)
        hidden, moved = _hidden(model, weights, batch, train=True, **options)
        if carried:
            variables = {**variables, "carry": moved}
        return _metrics(model, weights, batch, hidden, vocab_size, chunk), variables

    def evaluate(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        weights = _weights(state.params, state.variables)
        hidden, _ = _hidden(model, weights, batch)
        return _metrics(model, weights, batch, hidden, vocab_size, chunk)

    learner = minimize(objective, spread={"carry": "whole"})
    return Task(init, learner.update, evaluate, _outputs(model))


def counted(
    segments: Int[Array, "b u"] | None, mask: Float[Array, " b"], length: int
) -> Float[Array, "b t"]:
    """Returns the weights of the targets, all tokens but the first: 1 if a target counts, else 0.

    Padding examples, padding within an example, and the first token of a segment do not count.
    """
    weight = jnp.broadcast_to(mask[:, None], (len(mask), length))
    if segments is None:
        return weight
    return weight * ((segments[:, 1:] == segments[:, :-1]) & (segments[:, 1:] != 0))


def _check(model: nn.Module, vocab_size: int, chunk: int | None) -> None:
    name = type(model).__name__
    if getattr(model, "vocab_size", vocab_size) != vocab_size:
        raise ConfigError(
            f"model {name} has vocab_size={model.vocab_size}, but the data have {vocab_size} tokens"
        )
    if chunk is not None and chunk < 1:
        raise ConfigError(f"chunk={chunk}: valid are 1 to {vocab_size} tokens, or None for all")
    if chunk is not None and not hasattr(model, "vocabulary"):
        raise ConfigError(f"chunk={chunk}: {name} has no method 'vocabulary'; valid is None")


def _check_carry(axis_name: str | None, order: str, num_examples: int, batch_size: int) -> None:
    if axis_name is not None:
        raise ConfigError(
            "a recurrent model's carry is kept under parallel.strategy='jit' only, not 'pmap'; "
            "task.carry=False starts every window from zero"
        )
    if order != "streams":
        raise ConfigError(
            "a recurrent model's carry needs text in order, which "
            f"dataset.order={order!r} does not give: set dataset.order='streams' or "
            "task.carry=False"
        )
    if num_examples < batch_size:
        raise ConfigError(
            f"batch_size={batch_size}: a recurrent model's carry needs a window per lane, and the "
            f"data have {num_examples}; valid are 1 to {num_examples}, or task.carry=False"
        )


def _check_lanes(carry: PyTree, batch: Batch) -> None:
    lanes, size = len(jax.tree.leaves(carry)[0]), len(batch["tokens"])
    if lanes != size:
        raise ConfigError(
            f"a recurrent model's carry is of {lanes} lanes, but a part of the batch has {size} "
            "windows: set accumulate=1 or task.carry=False"
        )


def _recurrent(model: nn.Module) -> bool:
    return getattr(model, "recurrent", False)


def _weights(params: PyTree, variables: PyTree) -> dict[str, PyTree]:
    return {"params": params, **{k: v for k, v in variables.items() if k != "carry"}}


def _hidden(
    model: nn.Module, weights: PyTree, batch: Batch, **options: Any
) -> tuple[Float[Array, "b t d"], PyTree]:
    """Returns the features of the targets' logits, and a recurrent model's carry or None."""
    if "segments" in batch:
        options["segments"] = batch["segments"][:, :-1]
    hidden = model.apply(weights, batch["tokens"][:, :-1], **options, method="hidden")
    return hidden if _recurrent(model) else (hidden, None)


def _metrics(
    model: nn.Module,
    weights: PyTree,
    batch: Batch,
    hidden: Float[Array, "b t d"],
    vocab_size: int,
    chunk: int | None,
) -> Metrics:
    targets = batch["tokens"][:, 1:]
    weight = counted(batch.get("segments"), batch["mask"], targets.shape[1])
    if chunk is None:
        logits = model.apply(weights, hidden, method="attend")
        target = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
        losses, best = jax.nn.logsumexp(logits, axis=-1) - target, jnp.argmax(logits, axis=-1)
    else:
        table, bias = model.apply(weights, method="vocabulary")
        flat = hidden.reshape(-1, hidden.shape[-1])
        found = cross_entropy(flat, table, bias, targets.reshape(-1), chunk)
        losses, best = (x.reshape(targets.shape) for x in found)
    # A token outside the vocabulary must show as a NaN loss.
    losses = nan_unless((targets >= 0) & (targets < vocab_size), losses)
    total = jnp.sum(weight)
    return {
        "loss": (jnp.sum(where_present(losses, weight) * weight), total),
        "accuracy": (jnp.sum((best == targets) * weight), total),
    }


def _outputs(model: nn.Module) -> Mapping[str, Callable[..., Array]]:
    def features(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b t d"]:
        return _hidden(model, _weights(state.params, state.variables), batch)[0]

    def logits(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b t v"]:
        hidden, weights = features(state, batch, key), _weights(state.params, state.variables)
        return model.apply(weights, hidden, method="attend")

    return {
        "logits": logits,
        "features": features,
        "generate": partial(_generate, model, True),
        "generate_uncached": partial(_generate, model, False),
    }


def _generate(
    model: nn.Module, cached: bool, state: TrainState, batch: Batch, key: PRNGKeyArray
) -> Int[Array, "b t"]:
    """Returns `batch["tokens"]` (b, t) with generated tokens from `batch["length"]` (b,) on.

    Each token is drawn from the model's distribution given the tokens before it, or as many of them
    as the context holds. `batch["temperature"]`, `batch["top_k"]` and `batch["top_p"]`, each (b,),
    are the settings of `library.decoding.sample`. A draw depends on the key, the example's index
    and the position, not on the rest of the batch.

    With `cached`, a token costs the computation of one position while all tokens before it fit the
    context; after that, and without `cached`, each token costs the computation of a whole window.
    """
    tokens, length = batch["tokens"], jnp.maximum(batch["length"], 1)
    total = tokens.shape[1]
    window = min(total, getattr(model, "context", None) or total)
    apply = partial(model.apply, _weights(state.params, state.variables))
    keys = rng.per_example(rng.purpose(key, "generate"), batch["index"])
    settings = batch["temperature"], batch["top_k"], batch["top_p"]

    def write(tokens, logits, at):
        drawn = sample(jax.vmap(rng.at_step, (0, None))(keys, at), logits, *settings)
        given = jax.lax.dynamic_index_in_dim(tokens, at, axis=1, keepdims=False)
        return tokens.at[:, at].set(jnp.where(at < length, given, drawn).astype(tokens.dtype))

    def by_cache(at, carry):
        tokens, cache = carry
        last = jax.lax.dynamic_slice_in_dim(tokens, at - 1, 1, axis=1)
        logits, cache = apply(last, cache, at - 1, method="step")
        return write(tokens, logits, at), cache

    def by_window(at, tokens):
        first = jnp.maximum(at - window, 0)
        part = jax.lax.dynamic_slice_in_dim(tokens, first, window, axis=1)
        hidden = apply(part, method="hidden")
        hidden = hidden[0] if _recurrent(model) else hidden
        last = jax.lax.dynamic_index_in_dim(hidden, at - 1 - first, axis=1, keepdims=False)
        return write(tokens, apply(last, method="attend"), at)

    # Tokens at positions that are generated later must not affect the result.
    tokens = jnp.where(jnp.arange(total) < length[:, None], tokens, 0)
    at = jnp.min(length)
    if cached:
        cache = model.initial_cache(len(tokens), window)
        if hasattr(model, "prefill"):
            cache = apply(tokens[:, :window], cache, method="prefill")
        else:
            at = jnp.ones_like(at)
        tokens, _ = jax.lax.fori_loop(at, min(total, window + 1), by_cache, (tokens, cache))
        if total <= window + 1:
            return tokens
        at = jnp.maximum(at, window + 1)
    return jax.lax.fori_loop(at, total, by_window, tokens)
