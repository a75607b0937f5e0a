"""Polyphonic music: predicting the notes of each step of a piano roll from the steps before it.

A step is a frame of binary notes. The loss is the negative log-likelihood of a frame in nats: the
sum over its notes, the mean over frames (Boulanger-Lewandowski, Bengio & Vincent 2012, "Modeling
temporal dependencies in high-dimensional sequences", section 5). A model gives the notes of a frame
as independent given the past, or one after the other, see `library.models.sequence.biaxial`.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Float, Key, PRNGKeyArray, PyTree, UInt8

from library import piano_rolls, rng
from library.config import ConfigError
from library.finite import nan_unless
from library.forward import evaluated, initialized, recorded_outputs, trained, variables_of
from library.layers.checks import check_sizes
from library.task import Batch, Learner, Loss, Metrics, Task, TrainState, where_present

# The name of the frames to predict, in what a model with notes one after the other is given.
_NEXT = "next_frames"


def piano_roll(
    model: nn.Module,
    minimize: Callable[[Loss], Learner],
    *,
    feature_shapes: Mapping[str, tuple[int, ...]],
    inputs: tuple[str, ...] = ("series", "series_mask"),
    lowest: int = piano_rolls.LOWEST,
    length: int = 64,
    prompt: int = 16,
    temperature: float = 1.0,
) -> Task:
    """Builds the task of predicting `batch[inputs[0]][:, 1:]` from `batch[inputs[0]][:, :-1]`.

    The frames are (b, t, n), 1 where a note sounds and 0 elsewhere. Frames whose mask, `inputs[1]`,
    is 0 do not count. So the first frame of a piece is given, as in Bai et al. 2018. The metrics
    are loss, nats a frame, and accuracy: of the notes that sound or are predicted, with a
    probability above 0.5, the share that is both (Bay, Ehmann & Downie 2009, equation 1).

    Outputs: "logits" (b, t - 1, n), those of frames 1 to t - 1; "error" (b,), the mean loss of a
    piece's frames; "music", uint8 (b, length, 1, 128), drawn from silence, and "arrangement", the
    same, which continues the first `prompt` frames of examples, see `library.piano_rolls`; "sample"
    and "arranged", their pictures; "features" and "intermediates", which the model records.

    Args:
      model: `(frames (b, t, n), mask (b, t), train) -> logits (b, t, n)` of the next frames; it
        takes `inputs`. A model whose attribute `factored` is true also takes the next frames, and
        has `advance` and `step`, see library/models/sequence/biaxial.py.
      minimize: turns a loss into the training step.
      feature_shapes: shapes of the features in an example.
      inputs: the frames and their mask.
      lowest: the pitch of the first note, in MIDI.
      length: frames of the music that outputs draw.
      prompt: frames of an example that "arrangement" continues.
      temperature: divisor of the logits when music is drawn.

    Raises:
      ConfigError: the inputs are not frames and a mask, the model has another number of notes, or a
        number is out of range.
    """
    _check(model, feature_shapes, inputs, lowest)
    check_sizes(length=length, prompt=prompt)
    if prompt >= length:
        raise ConfigError(f"prompt={prompt}: valid are 1 to {length - 1}, below length={length}")
    if not temperature > 0:
        raise ConfigError(f"temperature={temperature}: valid are numbers above 0")
    seen = partial(_seen, inputs)
    names = (*inputs, _NEXT) if _factored(model) else inputs

    def init(key: PRNGKeyArray, batch: Batch) -> TrainState:
        return learner.init(initialized(model, key, seen(batch), names))

    def objective(
        params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Metrics, PyTree]:
        logits, moved = trained(model, params, variables, seen(batch), names, key)
        return _metrics(logits, batch, inputs), moved

    def logits(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b t n"]:
        return evaluated(model, state, seen(batch), names)

    def evaluate(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        return _metrics(logits(state, batch, key), batch, inputs)

    def error(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, " b"]:
        losses, weight = _losses(logits(state, batch, key), batch, inputs)
        return jnp.sum(losses, axis=1) / jnp.maximum(jnp.sum(weight, axis=1), 1)

    learner = minimize(objective)
    recorded = {
        name: lambda state, batch, key, f=f: f(state, seen(batch), key)
        for name, f in recorded_outputs(model, names).items()
    }
    notes = feature_shapes[inputs[0]][-1]
    draw = partial(_drawn, model, temperature)
    made = _music(draw, notes, inputs, lowest, length, prompt)
    outputs = {"logits": logits, "error": error, **made}
    return Task(init, learner.update, evaluate, {**outputs, **recorded})


def _check(
    model: nn.Module, shapes: Mapping[str, tuple[int, ...]], inputs: tuple[str, ...], lowest: int
) -> None:
    frames = shapes.get(inputs[0], ())
    if len(inputs) != 2 or len(frames) != 2 or shapes.get(inputs[1]) != frames[:1]:
        raise ConfigError(
            f"task.inputs={list(inputs)}: valid are the frames (t, n) and their mask (t,), which "
            "dict(name='pad_series', length=...) makes; nearest: ['series', 'series_mask']"
        )
    width = getattr(model, "num_classes", frames[1])
    if width != frames[1]:
        name = type(model).__name__
        raise ConfigError(
            f"model {name} has num_classes={width}, but frames have {frames[1]} notes"
        )
    if not 0 <= lowest <= piano_rolls.PITCHES - frames[1]:
        raise ConfigError(
            f"lowest={lowest}: valid are 0 to {piano_rolls.PITCHES - frames[1]} for {frames[1]} "
            f"notes, as MIDI has {piano_rolls.PITCHES} pitches"
        )


def _factored(model: nn.Module) -> bool:
    return getattr(model, "factored", False)


def _seen(inputs: tuple[str, ...], batch: Batch) -> dict[str, Array]:
    """Returns a batch in which the model's inputs lack the last frame, and the frames after them.

    What stands in padding, such as NaN, becomes 0.
    """
    frames = batch[inputs[0]]
    following = where_present(frames[:, 1:], _weight(batch, inputs))
    moved = {name: batch[name][:, :-1] for name in inputs}
    return {**batch, **moved, _NEXT: following}


def _weight(batch: Batch, inputs: tuple[str, ...]) -> Float[Array, "b t"]:
    """Returns 1 for each frame that counts, of all but the first, and 0 for padding."""
    return where_present(batch[inputs[1]][:, 1:], batch["mask"])


def _losses(
    logits: Float[Array, "b t n"], batch: Batch, inputs: tuple[str, ...]
) -> tuple[Float[Array, "b t"], Float[Array, "b t"]]:
    """Returns -log p of each frame, 0 where it does not count, and whether it counts."""
    weight = _weight(batch, inputs)
    notes = where_present(batch[inputs[0]][:, 1:], weight)
    losses = jnp.sum(optax.sigmoid_binary_cross_entropy(logits, notes), axis=-1)
    # Notes that are not binary have no likelihood.
    losses = nan_unless(jnp.all((notes == 0) | (notes == 1), axis=-1), losses)
    return where_present(losses, weight), weight


def _metrics(logits: Float[Array, "b t n"], batch: Batch, inputs: tuple[str, ...]) -> Metrics:
    losses, weight = _losses(logits, batch, inputs)
    there = weight[..., None] > 0
    sounds, found = there & (batch[inputs[0]][:, 1:] > 0), there & (logits > 0)
    both = jnp.sum(sounds & found, dtype=jnp.float32)
    return {
        "loss": (jnp.sum(losses), jnp.sum(weight)),
        "accuracy": (both, jnp.sum(sounds | found, dtype=jnp.float32)),
    }


def _music(
    draw: Callable[..., Array],
    notes: int,
    inputs: tuple[str, ...],
    lowest: int,
    length: int,
    prompt: int,
) -> dict[str, Callable[..., Array]]:
    """Returns the outputs that draw music; `draw` is `_drawn` with its first arguments."""

    def music(state: TrainState, batch: Batch, key: PRNGKeyArray) -> UInt8[Array, "b t 1 128"]:
        keys = rng.per_example(rng.purpose(key, "music"), batch["index"])
        silence = jnp.zeros((len(keys), 1, notes))
        drawn = draw(length + 1, variables_of(state), silence, keys)
        return piano_rolls.of_frames(drawn[:, 1:], lowest)

    def arrangement(
        state: TrainState, batch: Batch, key: PRNGKeyArray
    ) -> UInt8[Array, "b t 1 128"]:
        keys = rng.per_example(rng.purpose(key, "arrangement"), batch["index"])
        known = batch[inputs[0]][:, :prompt]
        return piano_rolls.of_frames(draw(length, variables_of(state), known, keys), lowest)

    def sample(state: TrainState, batch: Batch, key: PRNGKeyArray) -> UInt8[Array, "b h w 3"]:
        return piano_rolls.picture(music(state, batch, key))

    def arranged(state: TrainState, batch: Batch, key: PRNGKeyArray) -> UInt8[Array, "b h w 3"]:
        return piano_rolls.picture(arrangement(state, batch, key))

    return dict(music=music, arrangement=arrangement, sample=sample, arranged=arranged)


def _drawn(
    model: nn.Module,
    temperature: float,
    length: int,
    weights: PyTree,
    known: Float[Array, "b p n"],
    keys: Key[Array, " b"],
) -> Float[Array, "b t n"]:
    """Returns t = length frames that begin with those known.

    Each frame is drawn from the model's distribution given all frames before it. A draw depends on
    the example's key and the place of the frame, not on the rest of the batch.
    """
    start = known.shape[1]
    frames = jnp.pad(known, ((0, 0), (0, length - start), (0, 0)))
    advance = _by_note if _factored(model) else _at_once

    def body(at: Array, carry: Any) -> Any:
        frames, past = carry
        now = jax.vmap(rng.at_step, (0, None))(keys, at)
        frame, past = advance(model, weights, frames, past, at, now, temperature)
        given = jax.lax.dynamic_index_in_dim(frames, at, axis=1, keepdims=False)
        return frames.at[:, at].set(jnp.where(at < start, given, frame)), past

    if _factored(model):
        past = model.initial_past(*known.shape[::2])
        return jax.lax.fori_loop(1, length, body, (frames, past))[0]
    return jax.lax.fori_loop(start, length, body, (frames, ()))[0]


def _at_once(
    model: nn.Module,
    weights: PyTree,
    frames: Float[Array, "b t n"],
    past: PyTree,
    at: Array,
    keys: Key[Array, " b"],
    temperature: float,
) -> tuple[Float[Array, "b n"], PyTree]:
    """Draws the frame `at`, whose notes are independent given those before; `past` is nothing."""
    before = (jnp.arange(frames.shape[1]) < at).astype(jnp.float32)
    mask = jnp.broadcast_to(before, frames.shape[:2])
    logits = model.apply(weights, frames, mask, train=False)
    logits = jax.lax.dynamic_index_in_dim(logits, at - 1, axis=1, keepdims=False)
    drawn = jax.vmap(jax.random.bernoulli)(keys, nn.sigmoid(logits / temperature))
    return drawn.astype(jnp.float32), past


def _by_note(
    model: nn.Module,
    weights: PyTree,
    frames: Float[Array, "b t n"],
    past: PyTree,
    at: Array,
    keys: Key[Array, " b"],
    temperature: float,
) -> tuple[Float[Array, "b n"], PyTree]:
    """Draws the frame `at` note by note, from the lowest; `past` is before the last frame."""
    last = jax.lax.dynamic_index_in_dim(frames, at - 1, axis=1, keepdims=False)
    hidden, past = model.apply(weights, last, at - 1, past, method="advance")
    each = jax.vmap(lambda key: jax.random.split(key, hidden.shape[1]), out_axes=1)(keys)

    def step(carry: Any, inputs: Any) -> Any:
        state, below = carry
        features, key = inputs
        logit, state = model.apply(weights, features, below, state, method="step")
        note = jax.vmap(jax.random.bernoulli)(key, nn.sigmoid(logit / temperature))
        note = note.astype(jnp.float32)
        return (state, note), note

    carry = (model.initial_carry(len(hidden)), jnp.zeros(len(hidden)))
    return jax.lax.scan(step, carry, (hidden.swapaxes(0, 1), each))[1].T, past
