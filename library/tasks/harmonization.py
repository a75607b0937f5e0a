"""Chorales: each note given all others, and Gibbs sampling under constraints.

Hadjeres, Pachet & Nielsen 2017, "DeepBach" (arXiv 1612.01010), sections 2.2 and 2.3. The loss is
the negative log-likelihood of each token given all other tokens. From these conditionals chorales
are drawn by changing some notes at a time. Notes that are given stay, so a soprano is harmonized
with regard to all of it, also to what is still to come.
"""

from collections.abc import Callable, Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray, PyTree, UInt8

from library import chorales, piano_rolls, rng
from library.config import ConfigError, check_choice
from library.finite import nan_unless
from library.forward import evaluated, initialized, trained, variables_of
from library.layers.checks import check_sizes
from library.task import Batch, Learner, Loss, Metrics, Task, TrainState, where_present

INPUTS = ("tokens", "tokens_mask", "beat")
# The least share of tokens that a sweep draws again, and the sweeps after which it is reached.
_LEAST, _ANNEALED = 1 / 16, 0.75


def harmonization(
    model: nn.Module,
    minimize: Callable[[Loss], Learner],
    *,
    feature_shapes: Mapping[str, tuple[int, ...]],
    given: tuple[str, ...] = ("soprano",),
    lowest: int = chorales.LOWEST,
    length: int = 128,
    sweeps: int = 60,
    temperature: float = 1.0,
) -> Task:
    """Builds the task of predicting each of `batch["tokens"]` (b, t, v) given all others.

    `chorale` makes the tokens, `tokens_mask` (b, t) and `beat` (b, t). The metrics are loss, nats
    per token, and accuracy, means over the tokens of all voices.

    Outputs: "logits" (b, t, v, k); "error" (b,), the mean loss of a piece's tokens; "music", uint8
    (b, length, v, 128), new chorales, and "arrangement" (b, t, v, 128), those of examples of which
    only the voices `given` are kept, see `library.piano_rolls`; "sample" and "arranged", their
    pictures.

    Args:
      model: see library/models/sequence/deep_bach.py: `(tokens, mask, beat, train) -> logits
        (b, t, v, k)`, and `of_voice` for one voice.
      minimize: turns a loss into the training step.
      feature_shapes: shapes of the features in an example.
      given: the voices that "arrangement" keeps: "soprano", "alto", "tenor", "bass".
      lowest: the pitch of the lowest note, as `chorale` has it.
      length: steps of new chorales, sixteenths.
      sweeps: how often each voice is drawn again. The share of its tokens that is falls from all
        to 1 in 16 (Yao et al. 2014, arXiv 1409.0585, section 4).
      temperature: divisor of the logits when tokens are drawn.

    Raises:
      ConfigError: a feature is missing, a voice is unknown, or a number is out of range.
    """
    voices = _voices(model, feature_shapes)
    for name in given:
        check_choice("voice in task.given", name, chorales.VOICES[:voices])
    check_sizes(length=length, sweeps=sweeps)
    if not temperature > 0:
        raise ConfigError(f"temperature={temperature}: valid are numbers above 0")

    def init(key: PRNGKeyArray, batch: Batch) -> TrainState:
        return learner.init(initialized(model, key, batch, INPUTS))

    def objective(
        params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Metrics, PyTree]:
        logits, moved = trained(model, params, variables, batch, INPUTS, key)
        return _metrics(logits, batch), moved

    def logits(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b t v k"]:
        return evaluated(model, state, batch, INPUTS)

    def evaluate(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        return _metrics(logits(state, batch, key), batch)

    def error(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, " b"]:
        losses, weight = _losses(logits(state, batch, key), batch)
        total = jnp.maximum(jnp.sum(weight, axis=(1, 2)), 1)
        return jnp.sum(losses, axis=(1, 2)) / total

    learner = minimize(objective)
    draw = partial(gibbs, model, sweeps=sweeps, temperature=temperature)
    kept = np.array([name in given for name in chorales.VOICES[:voices]])
    made = _music(draw, kept, lowest, length)
    outputs = {"logits": logits, "error": error, **made}
    return Task(init, learner.update, evaluate, outputs)


def gibbs(
    model: nn.Module,
    weights: PyTree,
    tokens: Int[Array, "b t v"],
    mask: Float[Array, "b t"],
    beat: Int[Array, "b t"],
    free: Bool[Array, "b t v"],
    keys: Key[Array, " b"],
    *,
    sweeps: int,
    temperature: float = 1.0,
) -> Int[Array, "b t v"]:
    """Draws the free tokens given all others, voice by voice, `sweeps` times.

    The tokens of a voice are drawn at once, a random share of them in each sweep. Free tokens start
    at random. A draw depends on the example's key, not on the rest of the batch.

    Args:
      model: see `harmonization`.
      weights: the model's variables.
      tokens: the tokens; those that are free may have any value.
      mask: 1 for the steps of a piece.
      beat: the place of each step in its beat.
      free: True for the tokens to draw; where the mask is 0, none is drawn.
      keys: a random key for each example, (b,).
      sweeps: how often each voice is drawn again.
      temperature: divisor of the logits.
    """
    voices = tokens.shape[-1]
    free = free & (mask[..., None] > 0)
    shape = tokens.shape[1:]

    def begin(key: PRNGKeyArray) -> Int[Array, "t v"]:
        key = rng.purpose(key, "begin")
        return jax.random.randint(key, shape, 0, model.vocab_size, tokens.dtype)

    tokens = jnp.where(free, jax.vmap(begin)(keys), tokens)

    def drawn(tokens: Array, voice: int, turn: Array, share: Array) -> Int[Array, "b t"]:
        now = jax.vmap(rng.at_step, (0, None))(keys, turn)
        which, what = jax.vmap(jax.random.split, out_axes=1)(now)
        logits = model.apply(weights, tokens, mask, beat, voice, method="of_voice")
        found = jax.vmap(jax.random.categorical)(what, logits / temperature)
        chosen = jax.vmap(lambda key: jax.random.uniform(key, mask.shape[1:]))(which) < share
        held = tokens[..., voice]
        return jnp.where(chosen & free[..., voice], found.astype(held.dtype), held)

    def sweep(number: Array, tokens: Int[Array, "b t v"]) -> Int[Array, "b t v"]:
        share = jnp.maximum(_LEAST, 1 - number / (_ANNEALED * sweeps))
        for voice in range(voices):
            moved = drawn(tokens, voice, number * voices + voice, share)
            tokens = tokens.at[..., voice].set(moved)
        return tokens

    return jax.lax.fori_loop(0, sweeps, sweep, tokens)


def _voices(model: nn.Module, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Returns the number of voices, and checks that the data and the model have them alike."""
    missing = [name for name in INPUTS if name not in shapes]
    if missing:
        raise ConfigError(
            f"the examples have no {', '.join(missing)}: add dict(name='chorale', length=...) to "
            "the preprocessing"
        )
    voices, most = shapes["tokens"][-1], len(chorales.VOICES)
    if voices > most or getattr(model, "voices", voices) != voices:
        raise ConfigError(
            f"the tokens have {voices} voices, model {type(model).__name__} has "
            f"{getattr(model, 'voices', voices)}: both must agree, with 1 to {most}"
        )
    return voices


def _losses(
    logits: Float[Array, "b t v k"], batch: Batch
) -> tuple[Float[Array, "b t v"], Float[Array, "b t v"]]:
    """Returns -log p of each token, 0 where it does not count, and whether it counts."""
    weight = where_present(batch["tokens_mask"], batch["mask"])
    weight = jnp.broadcast_to(weight[..., None], logits.shape[:-1])
    tokens = where_present(batch["tokens"], weight)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, tokens)
    # A token outside the vocabulary must show as a NaN loss.
    losses = nan_unless((tokens >= 0) & (tokens < logits.shape[-1]), losses)
    return where_present(losses, weight), weight


def _metrics(logits: Float[Array, "b t v k"], batch: Batch) -> Metrics:
    losses, weight = _losses(logits, batch)
    right = jnp.argmax(logits, axis=-1) == batch["tokens"]
    count = jnp.sum(weight)
    return {"loss": (jnp.sum(losses), count), "accuracy": (jnp.sum(right * weight), count)}


def _music(
    draw: Callable[..., Array], kept: Bool[np.ndarray, " v"], lowest: int, length: int
) -> dict[str, Callable[..., Array]]:
    """Returns the outputs that draw music; `draw` is `gibbs` with its model and settings."""

    def music(state: TrainState, batch: Batch, key: PRNGKeyArray) -> UInt8[Array, "b t v 128"]:
        keys = rng.per_example(rng.purpose(key, "music"), batch["index"])
        mask = jnp.ones((len(keys), length))
        beat = jnp.broadcast_to(jnp.arange(length) % chorales.STEPS_A_BEAT, mask.shape)
        blank = jnp.zeros((*mask.shape, len(kept)), jnp.int32)
        found = draw(variables_of(state), blank, mask, beat, jnp.ones(blank.shape, bool), keys)
        return chorales.music(found, mask, lowest)

    def arrangement(
        state: TrainState, batch: Batch, key: PRNGKeyArray
    ) -> UInt8[Array, "b t v 128"]:
        keys = rng.per_example(rng.purpose(key, "arrangement"), batch["index"])
        tokens, mask, beat = (batch[name] for name in INPUTS)
        free = jnp.broadcast_to(~kept, tokens.shape)
        found = draw(variables_of(state), tokens, mask, beat, free, keys)
        return chorales.music(found, mask, lowest)

    def sample(state: TrainState, batch: Batch, key: PRNGKeyArray) -> UInt8[Array, "b h w 3"]:
        return piano_rolls.picture(music(state, batch, key))

    def arranged(state: TrainState, batch: Batch, key: PRNGKeyArray) -> UInt8[Array, "b h w 3"]:
        return piano_rolls.picture(arrangement(state, batch, key))

    return dict(music=music, arrangement=arrangement, sample=sample, arranged=arranged)
