"""Masked language modelling: filling in hidden tokens, and telling whether a text follows another.

Devlin, Chang, Lee & Toutanova 2019, "BERT: Pre-training of deep bidirectional transformers for
language understanding" (arXiv 1810.04805), section 3.1 and appendix A.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from library import rng
from library.config import ConfigError, nearest
from library.finite import nan_unless
from library.forward import evaluated, initialized, recorded_outputs, streams, variables_of
from library.special_tokens import BERT
from library.task import Batch, Learner, Loss, Metrics, Task, TrainState, pair, where_present


class Hidden(NamedTuple):
    """A text with hidden tokens, or a batch of such texts.

    Attributes:
      text: the tokens that the model sees, (..., t).
      places: the places of the tokens that it has to tell, (..., m), all different.
      counts: whether a place counts, (..., m).
    """

    text: Int[Array, "*b t"]
    places: Int[Array, "*b m"]
    counts: Bool[Array, "*b m"]


def masked_language(
    model: nn.Module,
    minimize: Callable[[Loss], Learner],
    *,
    vocab_size: int,
    token_names: tuple[str, ...],
    inputs: tuple[str, str, str] = ("text", "text_mask", "text_types"),
    rate: float = 0.15,
    hidden: float = 0.8,
    replaced: float = 0.1,
    next_sentence: bool = True,
) -> Task:
    """Builds the task of telling hidden tokens of `batch["text"]`, int (b, t).

    Of the tokens of a text, without its marks, a share of `rate` is to be told, one or more. Most
    of them are hidden, some are replaced by any token, and the others are left. The draw depends on
    the example alone. With `next_sentence` the model also tells `batch["next"]`, int (b,): 1 if the
    second text follows the first.

    The metrics of training and evaluation are loss; masked_loss and masked_accuracy, means over
    the tokens that are to be told; and next_accuracy. The loss is the mean over these tokens of
    their cross-entropy and that of their example's `next`. So it is the sum of both means, if each
    example has as many tokens to tell.

    Outputs: "logits" (b, t, v), of a text as it is; "filled" int (b, t), a text whose "[MASK]" are
    filled in; "features" and "intermediates", which the model records.

    Args:
      model: `(text, mask, types, train) -> (logits (b, t, v), logits (b, 2))`, the second of
        whether the second text follows; and the methods `hidden`, `attend` and `follows` for its
        parts, see library/models/sequence/bert.py.
      minimize: turns a loss into the training step.
      vocab_size: number of tokens in the vocabulary of the data.
      token_names: the text of each token.
      inputs: the features with the tokens, their mask and their types.
      rate: the share of tokens to tell.
      hidden: the share of these that become "[MASK]".
      replaced: the share of these that become any token.
      next_sentence: whether the model also tells if the second text follows.

    Raises:
      ConfigError: a share is out of range, the vocabulary has no token that hides or marks, the
        model has another vocabulary, or (when traced) the batch has no `next`.
    """
    _check_shares(rate, hidden, replaced)
    marks = _marks(token_names)
    if getattr(model, "vocab_size", vocab_size) != vocab_size:
        raise ConfigError(
            f"model {type(model).__name__} has vocab_size={model.vocab_size}, but the data have "
            f"{vocab_size} tokens"
        )

    def hide(batch: Batch, key: PRNGKeyArray) -> Hidden:
        keys = rng.per_example(rng.purpose(key, "masked_language"), batch["index"])
        text, mask = batch[inputs[0]], batch[inputs[1]]

        def one(key: PRNGKeyArray, text: Array, mask: Array) -> Hidden:
            return draw(key, text, mask, marks, vocab_size, (rate, hidden, replaced))

        return jax.vmap(one)(keys, text, mask)

    def measured(weights: PyTree, batch: Batch, key: PRNGKeyArray, **options: Any) -> Metrics:
        drawn = hide(batch, key)
        rest = (batch[name] for name in inputs[1:])
        found = model.apply(weights, drawn.text, *rest, **options, method="hidden")
        told = jnp.take_along_axis(found, drawn.places[..., None], axis=1)
        logits = model.apply(weights, told, method="attend")
        target = jnp.take_along_axis(batch[inputs[0]], drawn.places, axis=1)
        each = optax.softmax_cross_entropy_with_integer_labels(logits, target)
        # A token outside the vocabulary must show as a NaN loss.
        each = nan_unless((target >= 0) & (target < vocab_size), each)
        counts = drawn.counts * batch["mask"][:, None]
        number, right = jnp.sum(counts), jnp.argmax(logits, axis=-1) == target
        loss = jnp.sum(where_present(each, counts))
        metrics = {
            "masked_loss": (loss, number),
            "masked_accuracy": (jnp.sum(right * counts), number),
        }
        if next_sentence:
            following = _following(model.apply(weights, found, method="follows"), batch)
            metrics["next_accuracy"] = pair(following[1], batch["mask"])
            loss += jnp.sum(where_present(following[0], batch["mask"]) * jnp.sum(counts, axis=1))
        return {"loss": (loss, number), **metrics}

    def init(key: PRNGKeyArray, batch: Batch) -> TrainState:
        return learner.init(initialized(model, key, batch, inputs))

    def objective(
        params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Metrics, PyTree]:
        weights, rngs = {"params": params, **variables}, streams(key, batch["index"])
        return measured(weights, batch, key, train=True, rngs=rngs), variables

    def evaluate(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        return measured(variables_of(state), batch, key)

    learner = minimize(objective)
    return Task(init, learner.update, evaluate, _outputs(model, inputs, marks))


def draw(
    key: PRNGKeyArray,
    text: Int[Array, " t"],
    mask: Float[Array, " t"],
    marks: Mapping[str, int],
    vocab_size: int,
    shares: tuple[float, float, float],
) -> Hidden:
    """Draws the tokens of one text that are to be told, and what the model sees of them.

    Args:
      key: the random key.
      text: the tokens.
      mask: 1 for a token and 0 for padding.
      marks: the numbers of the tokens of BERT, by name.
      vocab_size: number of tokens.
      shares: of tokens to tell; of these, hidden; and of these, replaced.
    """
    rate, hidden, replaced = shares
    order_key, way_key, token_key = jax.random.split(key, 3)
    fixed = np.array([marks[name] for name in ("[PAD]", "[CLS]", "[SEP]")])
    free = (mask > 0) & jnp.all(text[:, None] != fixed, axis=-1)
    most = max(1, math.floor(rate * len(text) + 0.5))
    score = jnp.where(free, jax.random.uniform(order_key, text.shape), -1.0)
    places = jax.lax.top_k(score, most)[1]
    number = jnp.sum(free)
    wanted = jnp.clip(jnp.floor(rate * number + 0.5).astype(jnp.int32), 1, most)
    counts = jnp.arange(most) < jnp.minimum(wanted, number)
    way = jax.random.uniform(way_key, (most,))
    other = jax.random.randint(token_key, (most,), 0, vocab_size, text.dtype)
    seen = jnp.where(way < hidden + replaced, other, text[places])
    seen = jnp.where(way < hidden, jnp.asarray(marks["[MASK]"], text.dtype), seen)
    return Hidden(text.at[places].set(jnp.where(counts, seen, text[places])), places, counts)


def _following(logits: Float[Array, "b 2"], batch: Batch) -> tuple[Array, Array]:
    """Returns the cross-entropy of each example's `next`, and whether it is told."""
    if "next" not in batch:
        raise ConfigError(
            "masked_language: the examples have no 'next', which the preprocessing sentence_pairs "
            "makes; next_sentence=False needs none"
        )
    label = batch["next"].astype(jnp.int32)
    each = optax.softmax_cross_entropy_with_integer_labels(logits, label)
    return nan_unless((label >= 0) & (label < 2), each), jnp.argmax(logits, axis=-1) == label


def _check_shares(rate: float, hidden: float, replaced: float) -> None:
    if not 0 < rate < 1:
        raise ConfigError(f"rate={rate}: valid are shares between 0 and 1")
    if min(hidden, replaced) < 0 or hidden + replaced > 1:
        raise ConfigError(
            f"hidden={hidden}, replaced={replaced}: valid are shares from 0, whose sum is up to 1"
        )


def _marks(names: tuple[str, ...]) -> dict[str, int]:
    """Returns the numbers of the tokens of BERT."""
    numbers = {name: number for number, name in enumerate(names)}
    for mark in BERT:
        if mark != "[UNK]" and mark not in numbers:
            raise ConfigError(
                f"masked_language: the vocabulary has no {mark!r}, {nearest(mark, names)}; the "
                "preprocessing marked_text and sentence_pairs add it"
            )
    return numbers


def _outputs(
    model: nn.Module, inputs: tuple[str, ...], marks: Mapping[str, int]
) -> dict[str, Callable[..., Any]]:
    def logits(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b t v"]:
        return evaluated(model, state, batch, inputs)[0]

    def filled(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Int[Array, "b t"]:
        text, best = batch[inputs[0]], jnp.argmax(logits(state, batch, key), axis=-1)
        return jnp.where(text == marks["[MASK]"], best.astype(text.dtype), text)

    return {"logits": logits, "filled": filled, **recorded_outputs(model, inputs)}
