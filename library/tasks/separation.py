"""Separation of two voices that speak at once, trained without an order of the voices.

The loss is the negative SI-SDR of the better order (Kolbaek et al. 2017; Le Roux et al. 2019).
"""

from collections.abc import Callable

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from library import rng
from library.audio import separation as sound
from library.audio import spectra
from library.forward import applied, variables_of
from library.task import Batch, Learner, Loss, Metrics, Task, TrainState, pair


def separation(
    model: nn.Module,
    minimize: Callable[[Loss], Learner],
    *,
    window: int = 256,
    hop: int = 64,
    mixture: str = "audio",
    voices: str = "voices",
) -> Task:
    """Builds the task of separating `mixture`, (b, n), into `voices`, (b, n, 2).

    `batch["<mixture>_mask"]` (b, n) is 1 for data. Integers are scaled to [-1, 1). The metrics are
    loss, the negative SI-SDR in dB, and improvement, the gain in SI-SDR over the mixture itself. An
    evaluation also gives ideal_improvement, that of the shares |A| / (|A| + |B|) of the true
    voices, which a network on these spectra can hardly exceed.

    Outputs: "voices" (b, n, 2).

    Args:
      model: `(logs (b, t, f), mask (b, t), train) -> shares (b, t, f, 2)`.
      minimize: turns a loss into the training step.
      window: samples of a frame.
      hop: samples from a frame to the next.
      mixture: the feature with the sum of the voices.
      voices: the feature with the voices.
    """

    def heard(batch: Batch) -> tuple[Array, Array, Array]:
        """Returns the mixture, its transforms and the mask of frames with data."""
        mask = batch.get(f"{mixture}_mask", jnp.ones(batch[mixture].shape, jnp.float32))
        wave = jnp.where(mask > 0, _scaled(batch[mixture]), 0)
        rest = -wave.shape[1] % hop
        frames = spectra.framed(jnp.pad(mask, ((0, 0), (window, window + rest))), window, hop)
        return wave, sound.stft(wave, window, hop), jnp.max(frames, axis=-1)

    def rebuilt(shares: Float[Array, "b t f 2"], transforms: Array, batch: Batch) -> Array:
        samples = batch[mixture].shape[1]
        parts = [sound.istft(shares[..., i] * transforms, window, hop, samples) for i in range(2)]
        mask = batch.get(f"{mixture}_mask", jnp.ones((len(parts[0]), samples)))
        return jnp.where(mask[..., None] > 0, jnp.stack(parts, axis=-1), 0)

    def measured(found: Array, wave: Array, batch: Batch) -> Metrics:
        wanted = _wanted(batch)
        ours = sound.best_order(found, wanted)
        before = sound.best_order(jnp.stack([wave, wave], axis=-1), wanted)
        return {
            "loss": pair(-ours, batch["mask"]),
            "improvement": pair(ours - before, batch["mask"]),
        }

    def _wanted(batch: Batch) -> Array:
        mask = batch.get(f"{mixture}_mask", jnp.ones(batch[mixture].shape))
        return jnp.where(mask[..., None] > 0, _scaled(batch[voices]), 0)

    def init(key: PRNGKeyArray, batch: Batch) -> TrainState:
        _, transforms, mask = heard(batch)
        return learner.init(model.init(rng.purpose(key, "params"), _logs(transforms), mask))

    def objective(
        params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Metrics, PyTree]:
        wave, transforms, mask = heard(batch)
        given = (_logs(transforms), mask)
        shares, variables = applied(model, params, variables, given, key, batch["index"])
        return measured(rebuilt(shares, transforms, batch), wave, batch), variables

    def separated(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b n 2"]:
        _, transforms, mask = heard(batch)
        shares = model.apply(variables_of(state), _logs(transforms), mask, train=False)
        return rebuilt(shares, transforms, batch)

    def evaluate(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        wave, transforms, _ = heard(batch)
        each = [jnp.abs(sound.stft(_wanted(batch)[..., i], window, hop)) for i in range(2)]
        shares = jnp.stack(each, axis=-1) / (each[0] + each[1] + 1e-8)[..., None]
        ideal = measured(rebuilt(shares, transforms, batch), wave, batch)["improvement"]
        found = measured(separated(state, batch, key), wave, batch)
        return {**found, "ideal_improvement": ideal}

    learner = minimize(objective)
    return Task(init, learner.update, evaluate, {"voices": separated})


def _scaled(wave: Array) -> Array:
    if jnp.issubdtype(wave.dtype, jnp.integer):
        return wave.astype(jnp.float32) / -float(jnp.iinfo(wave.dtype).min)
    return wave


def _logs(transforms: Array) -> Float[Array, "b t f"]:
    """Returns logarithms of magnitudes; the floor, 60 dB below a loud voice, becomes 0."""
    return jnp.log1p(1e3 * jnp.abs(transforms)) / 5
