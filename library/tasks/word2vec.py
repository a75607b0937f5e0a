"""Vectors of words, learnt by predicting neighbours: skip-gram and continuous bag of words.

Mikolov, Chen, Corrado & Dean 2013 (arXiv 1301.3781) and, for negative sampling and subsampling,
Mikolov, Sutskever, Chen, Corrado & Dean 2013 (arXiv 1310.4546). A word has a vector v as an input
and a vector u as an answer. A pair of an input h and an answer o has the loss

    -log sigmoid(u_o h) - sum over K words n of noise: log sigmoid(-u_n h)

Skip-gram: h is the vector v of a word, and o each of its neighbours. CBOW: h is the mean of the
neighbours' vectors, and o the word.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from library import rng
from library.config import ConfigError, check_choice
from library.forward import variables_of
from library.task import Batch, Learner, Loss, Metrics, Task, TrainState

FORMS = ("skip_gram", "cbow")
# Words of noise are drawn by their counts to this power (arXiv 1310.4546, section 2.2).
POWER = 0.75


class Drawn(NamedTuple):
    """What a step draws for each word of a text, or of a batch of texts.

    Attributes:
      neighbours: the words up to `window` away, (..., t, n), n = 2 window.
      there: whether a word and its neighbour are a pair, (..., t, n).
      noise: words of noise, (..., t, K).
    """

    neighbours: Int[Array, "*b t n"]
    there: Bool[Array, "*b t n"]
    noise: Int[Array, "*b t k"]


def word2vec(
    model: nn.Module,
    minimize: Callable[[Loss], Learner],
    *,
    vocab_size: int,
    token_counts: tuple[int, ...],
    form: Literal["skip_gram", "cbow"] = "skip_gram",
    window: int = 5,
    negatives: int = 5,
    subsample: float | None = 1e-3,
    unknown: int | None = 0,
) -> Task:
    """Builds the task of predicting neighbours in `batch["tokens"]`, int (b, t).

    As in the authors' program, a word looks at 1 to `window` words on each side, a number drawn
    anew each time, and frequent words are left out at random, see `keep_probabilities`. Those that
    are left out keep their place here, so windows do not widen. The pairs of one word share their
    words of noise, which has the same mean. `batch["segments"]`, if present, numbers the texts of a
    window: no pair crosses them, and 0 is padding. The metric is loss, the mean over pairs, also in
    evaluation.

    Outputs: "features" (b, t, d), the vectors v.

    Args:
      model: `words(tokens)` returns the vectors v and `contexts(tokens)` the vectors u, (..., d).
      minimize: turns a loss into the training step.
      vocab_size: number of tokens in the vocabulary of the data.
      token_counts: how often each token occurs in the training text; the tokenizer "word" counts.
      form: "skip_gram" or "cbow".
      window: the farthest neighbour.
      negatives: K, the words of noise for each pair.
      subsample: the share of the text above which a word counts as frequent; None keeps all.
      unknown: the token of unknown words, which is never read or predicted; None for none.

    Raises:
      ConfigError: the form is unknown, the model has another vocabulary, the counts are not those
        of the vocabulary, or a number is out of range.
    """
    _check(model, vocab_size, token_counts, form, window, negatives, subsample)
    if unknown is not None and not 0 <= unknown < vocab_size:
        raise ConfigError(f"unknown={unknown}: valid are 0 to {vocab_size - 1}, or None for none")
    counts = np.array(token_counts, np.float64)
    counts[[] if unknown is None else unknown] = 0
    if not counts.any():
        raise ConfigError("word2vec: the training text has no known word")
    kept, noise = keep_probabilities(counts, subsample), noise_distribution(counts)

    def measured(params: PyTree, batch: Batch, key: PRNGKeyArray) -> Metrics:
        tokens = batch["tokens"]
        segments = batch.get("segments", jnp.ones(tokens.shape, jnp.int32))
        segments = jnp.where(batch["mask"][:, None] > 0, segments, 0)
        keys = rng.per_example(rng.purpose(key, "word2vec"), batch["index"])
        each = jax.vmap(lambda k, t, s: draw(k, t, s, kept, noise, window, negatives))
        return losses(model, params, tokens, each(keys, tokens, segments), form)

    def init(key: PRNGKeyArray, batch: Batch) -> TrainState:
        return learner.init(dict(model.init(rng.purpose(key, "params"), batch["tokens"])))

    def objective(
        params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Metrics, PyTree]:
        return measured(params, batch, key), variables

    def evaluate(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        return measured(state.params, batch, key)

    def features(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b t d"]:
        return model.apply(variables_of(state), batch["tokens"], method="words")

    learner = minimize(objective)
    return Task(init, learner.update, evaluate, {"features": features})


def keep_probabilities(
    counts: Float[np.ndarray, " v"], subsample: float | None
) -> Float[np.ndarray, " v"]:
    """Returns how likely each word is kept: (sqrt(f / s) + 1) s / f, at most 1, for a share f.

    It is the rule of the authors' program; their paper has sqrt(s / f). Words without counts are
    never kept.
    """
    share = np.maximum(counts / counts.sum(), 1e-30)
    rule = 1.0 if subsample is None else (np.sqrt(share / subsample) + 1) * subsample / share
    return np.where(counts > 0, np.minimum(rule, 1), 0).astype(np.float32)


def noise_distribution(counts: Float[np.ndarray, " v"]) -> Float[np.ndarray, " v"]:
    """Returns the cumulative probabilities of words of noise, by their counts to the 3/4."""
    powers = counts**POWER
    return (np.cumsum(powers) / powers.sum()).astype(np.float32)


def draw(
    key: PRNGKeyArray,
    tokens: Int[Array, " t"],
    segments: Int[Array, " t"],
    kept: Float[np.ndarray, " v"],
    noise: Float[np.ndarray, " v"],
    window: int,
    negatives: int,
) -> Drawn:
    """Draws the pairs and the words of noise of one text.

    Args:
      key: the random key.
      tokens: the words.
      segments: numbers of texts, whose words are no neighbours of others; 0 is padding.
      kept: what `keep_probabilities` returns.
      noise: what `noise_distribution` returns.
      window: the farthest neighbour.
      negatives: the number of words of noise for each word.
    """
    keep_key, reach_key, noise_key = jax.random.split(key, 3)
    # A token outside the vocabulary would be read as the last of it.
    known = (tokens >= 0) & (tokens < len(kept)) & (segments > 0)
    keep = known & (jax.random.uniform(keep_key, tokens.shape) < jnp.asarray(kept)[tokens])
    reach = jax.random.randint(reach_key, tokens.shape, 1, window + 1)
    offsets = np.array([o for o in range(-window, window + 1) if o])
    place = np.arange(len(tokens))[:, None] + offsets
    inside, place = (place >= 0) & (place < len(tokens)), np.clip(place, 0, len(tokens) - 1)
    there = inside & keep[:, None] & keep[place] & (np.abs(offsets) <= reach[:, None])
    there &= segments[:, None] == segments[place]
    share = jax.random.uniform(noise_key, (*tokens.shape, negatives))
    drawn = jnp.searchsorted(jnp.asarray(noise), share, side="right")
    # Rounding may leave the last cumulative probability below 1.
    last = np.flatnonzero(np.diff(noise, prepend=0))[-1]
    return Drawn(tokens[place], there, jnp.minimum(drawn, last).astype(tokens.dtype))


def losses(
    model: nn.Module, params: PyTree, tokens: Int[Array, "b t"], drawn: Drawn, form: str
) -> Metrics:
    """Returns the loss of what was drawn, summed over pairs, and the number of pairs."""

    def vectors(ids: Array, method: str) -> Array:
        return model.apply({"params": params}, ids, method=method)

    def total(values: Array, weights: Array) -> Array:
        return jnp.sum(jnp.where(weights > 0, values, 0) * weights)

    there, noise = drawn.there, vectors(drawn.noise, "contexts")
    if form == "skip_gram":
        given, weights = vectors(tokens, "words"), there
        answers = vectors(drawn.neighbours, "contexts")
        scores = jnp.einsum("btd,btnd->btn", given, answers)
        # A word is no noise for itself.
        others = drawn.neighbours[..., None] != drawn.noise[:, :, None]
        times = jnp.sum(there[..., None] & others, axis=2)
    else:
        seen = jnp.where(there[..., None], vectors(drawn.neighbours, "words"), 0)
        given = seen.sum(2) / jnp.maximum(there.sum(-1, keepdims=True), 1)
        weights = jnp.any(there, axis=-1)
        scores = jnp.einsum("btd,btd->bt", given, vectors(tokens, "contexts"))
        times = weights[..., None] & (tokens[..., None] != drawn.noise)
    against = jnp.einsum("btd,btkd->btk", given, noise)
    found = total(jax.nn.softplus(-scores), weights) + total(jax.nn.softplus(against), times)
    return {"loss": (found, jnp.sum(weights, dtype=jnp.float32))}


def _check(
    model: nn.Module,
    vocab_size: int,
    token_counts: tuple[int, ...],
    form: str,
    window: int,
    negatives: int,
    subsample: float | None,
) -> None:
    check_choice("form", form, FORMS)
    for name, value in (("window", window), ("negatives", negatives)):
        if value < 1:
            raise ConfigError(f"{name}={value}: valid are 1 and more")
    if subsample is not None and not subsample > 0:
        raise ConfigError(f"subsample={subsample}: valid are shares above 0, or None to keep all")
    if len(token_counts) != vocab_size:
        raise ConfigError(
            f"word2vec: there are {len(token_counts)} counts and {vocab_size} tokens; words are "
            "those of dataset.tokenizer, and not of preprocessing"
        )
    if getattr(model, "vocab_size", vocab_size) != vocab_size:
        raise ConfigError(
            f"model {type(model).__name__} has vocab_size={model.vocab_size}, but the data have "
            f"{vocab_size} tokens"
        )
