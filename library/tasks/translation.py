"""Translation: predicting each token of a target from a source and the tokens before it.

In training the model is given the true tokens before (teacher forcing, Williams & Zipser 1989).
Afterwards it is given its own, and a search finds an output of high probability, see
`library.searching`.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree, UInt8

from library import rng, searching
from library.config import ConfigError
from library.finite import nan_unless
from library.forward import streams, variables_of
from library.special_tokens import BEGIN, END, PAD
from library.task import Batch, Learner, Loss, Metrics, Task, TrainState, where_present

ALPHABET = searching.Alphabet(begin=BEGIN, end=END, never=(PAD,))
# Sides of a cell of a drawn alignment, in pixels.
CELL = 8


def translation(
    model: nn.Module,
    minimize: Callable[[Loss], Learner],
    *,
    vocab_size: int,
    inputs: tuple[str, ...],
    feature_shapes: Mapping[str, tuple[int, ...]],
    label_smoothing: float = 0.0,
    beams: int = 1,
    length_penalty: float = 0.0,
    coverage: float = 0.0,
    length: int | None = None,
) -> Task:
    """Builds the task of writing the feature `inputs[1]` given `inputs[0]`.

    With inputs=("en", "de") it reads the tokens `en` (b, s) and `de` (b, t), and `en_mask` and
    `de_mask`, 1 for a token and 0 for padding: `tokenize` and `pad_series` make them. The last
    token of a target is the one that ends it. Padding changes neither loss nor outputs. The metrics
    of training and evaluation are loss, nats per token, and accuracy, means over all tokens of the
    targets.

    Outputs: "translate" (b, length), tokens found by beam search, with zeros after the end, or
    drawn where the batch has `temperature`, `top_k` and `top_p` (b,); "greedy" (b, length);
    "logits" (b, t, v) and "attention" (b, t, s) for the true target; "alignment", uint8
    (b, 8 t, 8 s, 3), that attention as an image, a row of cells for each token of the target;
    "translation_attention" (b, length, s), the attention while `batch["translation"]` (b, length)
    was written; "error" (b,), the mean loss of the target's tokens.

    Args:
      model: see library/models/sequence/transformer.py: `hidden(source, source_mask, target,
        train=...)` returns features and attention, `attend` turns features into logits, `encode`
        and `step` decode.
      minimize: turns a loss into the training step.
      vocab_size: number of tokens in the vocabulary of the data.
      inputs: the features of the source and of the target.
      feature_shapes: shapes of the features in an example.
      label_smoothing: share of a target's probability that is spread over all tokens in training
        (Szegedy et al. 2016, section 7); evaluation measures the loss without it.
      beams: outputs that the search looks at together; 1 is greedy.
      length_penalty: how much longer outputs are favoured, see `library.searching.beam_search`.
      coverage: how much it counts that all of the source is attended to, see there.
      length: the most tokens of an output; by default the padded length of the target.

    Raises:
      ConfigError: there are not two inputs, one has no mask or is no sequence, the model has
        another vocabulary, or a number is out of range.
    """
    _check(model, vocab_size, inputs, feature_shapes, label_smoothing)
    searching.check_search(beams, length_penalty, coverage)
    length = feature_shapes[inputs[1]][0] if length is None else length
    if length < 1:
        raise ConfigError(f"length={length}: valid are 1 token or more")

    def init(key: PRNGKeyArray, batch: Batch) -> TrainState:
        given = _given(batch, inputs)
        return learner.init(dict(model.init(rng.purpose(key, "params"), *given)))

    def objective(
        params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Metrics, PyTree]:
        weights = {"params": params, **variables}
        logits, _ = _run(
            model, weights, batch, inputs, train=True, rngs=streams(key, batch["index"])
        )
        return _metrics(logits, batch, inputs[1], vocab_size, label_smoothing), variables

    def evaluate(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        logits, _ = _run(model, variables_of(state), batch, inputs)
        return _metrics(logits, batch, inputs[1], vocab_size, 0.0)

    learner = minimize(objective)
    search = dict(length=length, length_penalty=length_penalty, coverage=coverage)
    found = partial(_translate, model, inputs[0])
    outputs = {
        "translate": partial(found, **search, beams=beams, draws=True),
        "greedy": partial(found, length=length, beams=1),
        "translation_attention": partial(_written_attention, model, inputs[0]),
        **_outputs(model, inputs, vocab_size),
    }
    return Task(init, learner.update, evaluate, outputs)


def _check(
    model: nn.Module,
    vocab_size: int,
    inputs: tuple[str, ...],
    shapes: Mapping[str, tuple[int, ...]],
    label_smoothing: float,
) -> None:
    if len(inputs) != 2:
        raise ConfigError(
            f"task.inputs={list(inputs)}: translation takes two features, source and target"
        )
    for name in inputs:
        if f"{name}_mask" not in shapes or len(shapes.get(name, ())) != 1:
            raise ConfigError(
                f"translation needs tokens {name!r} of a fixed length, and {name}_mask: add "
                f"dict(name='tokenize', keys={list(inputs)}) and dict(name='pad_series', "
                "length=...) to the preprocessing"
            )
    if getattr(model, "vocab_size", vocab_size) != vocab_size:
        raise ConfigError(
            f"model {type(model).__name__} has vocab_size={model.vocab_size}, but the data have "
            f"{vocab_size} tokens"
        )
    if not 0 <= label_smoothing < 1:
        raise ConfigError(f"label_smoothing={label_smoothing}: valid are 0 (none) to below 1")


def _given(batch: Batch, inputs: tuple[str, ...]) -> tuple[Array, Array, Array]:
    """Returns the source, its mask, and the target moved by one token, behind BEGIN."""
    source, target = inputs
    moved = jnp.pad(batch[target][:, :-1], ((0, 0), (1, 0)), constant_values=BEGIN)
    return batch[source], batch[f"{source}_mask"], moved


def _run(
    model: nn.Module, weights: PyTree, batch: Batch, inputs: tuple[str, ...], **options: Any
) -> tuple[Float[Array, "b t v"], Float[Array, "b t s"]]:
    """Returns the logits of the target's tokens, and the attention to the source."""
    given = _given(batch, inputs)
    hidden, attention = model.apply(weights, *given, **options, method="hidden")
    return model.apply(weights, hidden, method="attend"), attention


def _losses(
    logits: Float[Array, "b t v"], tokens: Int[Array, "b t"], vocab_size: int, smoothing: float
) -> Float[Array, "b t"]:
    """Returns -log p of each token, with a share `smoothing` spread over the vocabulary."""
    log_p = jax.nn.log_softmax(logits)
    losses = -jnp.take_along_axis(log_p, tokens[..., None], axis=-1)[..., 0]
    if smoothing:
        losses = (1 - smoothing) * losses - smoothing * jnp.mean(log_p, axis=-1)
    # A token outside the vocabulary must show as a NaN loss.
    return nan_unless((tokens >= 0) & (tokens < vocab_size), losses)


def _counted(batch: Batch, target: str) -> Float[Array, "b t"]:
    # Padding examples may hold NaN in every feature.
    return jnp.where(batch["mask"][:, None] > 0, batch[f"{target}_mask"], 0)


def _metrics(
    logits: Float[Array, "b t v"], batch: Batch, target: str, vocab_size: int, smoothing: float
) -> Metrics:
    tokens, weight = batch[target], _counted(batch, target)
    losses = _losses(logits, tokens, vocab_size, smoothing)
    right = jnp.argmax(logits, axis=-1) == tokens
    total = jnp.sum(weight)
    return {
        "loss": (jnp.sum(where_present(losses, weight) * weight), total),
        "accuracy": (jnp.sum(right * weight), total),
    }


def _outputs(
    model: nn.Module, inputs: tuple[str, ...], vocab_size: int
) -> Mapping[str, Callable[..., Array]]:
    source, target = inputs

    def logits(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b t v"]:
        return _run(model, variables_of(state), batch, inputs)[0]

    def attention(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b t s"]:
        found = _run(model, variables_of(state), batch, inputs)[1]
        there = batch[f"{target}_mask"][..., None] * batch[f"{source}_mask"][:, None]
        return jnp.where(there > 0, found, 0)

    def alignment(state: TrainState, batch: Batch, key: PRNGKeyArray) -> UInt8[Array, "b h w 3"]:
        cells = jnp.uint8(jnp.round(255 * jnp.clip(attention(state, batch, key), 0, 1)))
        image = jnp.repeat(jnp.repeat(cells, CELL, axis=1), CELL, axis=2)
        return jnp.repeat(image[..., None], 3, axis=-1)

    def error(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, " b"]:
        weight = batch[f"{target}_mask"]
        losses = _losses(logits(state, batch, key), batch[target], vocab_size, 0.0)
        total = jnp.sum(where_present(losses, weight) * weight, axis=1)
        return total / jnp.maximum(jnp.sum(weight, axis=1), 1)

    return {"logits": logits, "attention": attention, "alignment": alignment, "error": error}


def _decoder(
    model: nn.Module, source: str, state: TrainState, batch: Batch, length: int
) -> tuple[searching.Step, PyTree, PyTree]:
    """Returns a step of the decoder, what it knows of the source, and its first state."""
    weights = variables_of(state)
    given = batch[source], batch[f"{source}_mask"]
    memory, cache = model.apply(weights, *given, length, method="encode")
    return partial(model.apply, weights, method="step"), memory, cache


def _translate(
    model: nn.Module,
    source: str,
    state: TrainState,
    batch: Batch,
    key: PRNGKeyArray,
    *,
    length: int,
    beams: int,
    draws: bool = False,
    **penalties: float,
) -> Int[Array, "b t"]:
    decoder = _decoder(model, source, state, batch, length)
    if draws and "temperature" in batch:
        keys = rng.per_example(rng.purpose(key, "translate"), batch["index"])
        settings = tuple(batch[name] for name in ("temperature", "top_k", "top_p"))
        return searching.drawn(*decoder, keys, settings, ALPHABET, length=length)
    there, sizes = batch[f"{source}_mask"], dict(length=length, beams=beams)
    return searching.beam_search(*decoder, there, ALPHABET, **sizes, **penalties).tokens[:, 0]


def _written_attention(
    model: nn.Module, source: str, state: TrainState, batch: Batch, key: PRNGKeyArray
) -> Float[Array, "b t s"]:
    """Returns the attention while `batch["translation"]` was written, 0 where padding is."""
    tokens = batch["translation"]
    moved = jnp.pad(tokens[:, :-1], ((0, 0), (1, 0)), constant_values=BEGIN)
    given = batch[source], batch[f"{source}_mask"], moved
    _, found = model.apply(variables_of(state), *given, method="hidden")
    there = (tokens != PAD)[..., None] & (batch[f"{source}_mask"] > 0)[:, None]
    return jnp.where(there, found, 0)
