"""Denoising diffusion: a model makes images from noise by removing the noise step by step.

Ho et al. 2020, arXiv 2006.11239 (DDPM); learned variances and the cosine schedule by Nichol &
Dhariwal 2021, arXiv 2102.09672; guidance by Ho & Salimans 2022, arXiv 2207.12598.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray, PyTree, UInt32

from library import config, rng
from library.config import ConfigError, check_choice
from library.diffusion.bound import interpolated_log_variance, prior_bits, step_bits
from library.diffusion.process import (
    PREDICTIONS,
    VARIANCES,
    Process,
    at,
    loss_weights,
    make_process,
    noised,
)
from library.diffusion.samplers import Table
from library.forward import streams, variables_of
from library.layers.checks import check_rates
from library.task import Batch, Learner, Loss, Metrics, Task, TrainState, pair

# The weight of the bound, which is added to the squared error (Nichol & Dhariwal 2021, eq. 16).
BOUND_WEIGHT = 0.001


class Denoiser(NamedTuple):
    """A model and the meaning of its output.

    Attributes:
      model: `(image, time, label, train) -> prediction`; time is scaled to 0 .. 1000.
      process: the noise schedule.
      prediction: a key of PREDICTIONS.
      learned: whether half of the output's channels are variances.
      classes: number of classes, which is the label of no class; None if the model gets no label.
    """

    model: nn.Module
    process: Process
    prediction: str
    learned: bool
    classes: int | None

    def initialized(self, batch: Batch, key: PRNGKeyArray) -> PyTree:
        """Returns the model's initial variables; raises ConfigError if its channels do not fit."""
        x, label = to_signed(batch["image"]), self.label(batch)
        time = jnp.zeros(len(x), jnp.float32)
        variables = self.model.init(rng.purpose(key, "params"), x, time, label, train=False)
        jax.eval_shape(lambda: self.ask(variables, x, time.astype(jnp.int32), label))
        return variables

    def label(self, batch: Batch) -> Int[Array, " b"] | None:
        """Returns the label that the model gets, or None."""
        return None if self.classes is None else batch["label"]

    def ask(
        self,
        variables: PyTree,
        x: Float[Array, "b h w c"],
        time: Int[Array, " b"],
        label: Int[Array, " b"] | None,
        **options: Any,
    ) -> tuple[Float[Array, "b h w c"], Float[Array, "b h w c"] | None]:
        """Returns the prediction and, if they are learned, the raw variances."""
        scaled = time.astype(jnp.float32) * np.float32(1000 / self.process.timesteps)
        out = self.model.apply(variables, x, scaled, label, **options)
        channels, wanted = out.shape[-1], x.shape[-1] * (2 if self.learned else 1)
        if channels != wanted:
            variance = "are" if self.learned else "are not"
            raise ConfigError(
                f"model has num_out={channels}: {wanted} channels are needed for images of "
                f"{x.shape[-1]} where variances {variance} learned"
            )
        return tuple(jnp.split(out, 2, axis=-1)) if self.learned else (out, None)

    def losses(
        self,
        variables: PyTree,
        image: Float[Array, "b h w c"],
        keys: Key[Array, " b"],
        label: Int[Array, " b"] | None,
        weights: Float[np.ndarray, " t"],
        **options: Any,
    ) -> dict[str, Float[Array, " b"]]:
        """Returns the losses of each example, whose key draws its time and its noise.

        Learned variances get their gradient from the bound alone.
        """
        process, x0 = self.process, to_signed(image)
        draw = functools.partial(
            _time_and_noise, timesteps=process.timesteps, shape=image.shape[1:]
        )
        time, noise = jax.vmap(draw)(keys)
        x = noised(process, x0, time, noise)
        output, raw = self.ask(variables, x, time, label, **options)
        alpha, sigma = at(process.alpha, time), at(process.sigma, time)
        target = PREDICTIONS[self.prediction][1](x0, noise, alpha, sigma)
        squared = jnp.mean(jnp.square(output - target), axis=(1, 2, 3))
        total = squared * at(weights, time, ndim=1)
        found = {"loss": total, "squared_error": squared}
        if raw is None:
            return found
        predicted = jax.lax.stop_gradient(self.to_x0(x, output, time))
        bits = process.timesteps * step_bits(process, "learned", x0, x, time, predicted, raw)
        return {**found, "loss": total + BOUND_WEIGHT * bits, "bits_per_dim": bits}

    def to_x0(
        self, x: Float[Array, "b h w c"], output: Float[Array, "b h w c"], time: Int[Array, " b"]
    ) -> Float[Array, "b h w c"]:
        """Returns the image that a prediction stands for."""
        alpha, sigma = at(self.process.alpha, time), at(self.process.sigma, time)
        return PREDICTIONS[self.prediction][0](x, output, alpha, sigma)


def diffusion(
    model: nn.Module,
    minimize: Callable[[Loss], Learner],
    *,
    image_shape: tuple[int, int, int],
    num_classes: int | None = None,
    timesteps: int = 1000,
    schedule: str = "linear",
    prediction: str = "epsilon",
    variance: str = "beta",
    min_snr: float | None = None,
    conditional: bool = False,
    label_dropout: float = 0.0,
    guidance: float | None = None,
    sampler: dict | None = None,
    clip: bool = True,
    num_snapshots: int = 8,
    bound_steps: int | None = None,
) -> Task:
    """Builds the task of predicting the noise in noised images, each at a random time.

    The loss is the squared error averaged over an image's pixels. Evaluation measures the same,
    with a time and noise that depend only on the example's row.

    Outputs: "sample" (b, h, w, c); "path" (b, k, h, w, c), k images on the way from noise to a
    sample; "bits", the terms "prior", "denoising" and "reconstruction", each (b,), of the
    variational bound in bits per dimension.

    Args:
      model: `(image, time, label, train) -> prediction`, such as `unet`.
      minimize: turns a loss into the training step.
      image_shape: height, width and channels of the images.
      num_classes: number of classes of the dataset.
      timesteps: T, the number of steps of the noise schedule.
      schedule: the noise schedule, a function of library/diffusion/schedules.py.
      prediction: what the model returns: "epsilon" (the noise), "x0" (the image) or "v" (Salimans
        & Ho 2022).
      variance: the variance of a denoising step: "beta", "beta_tilde" or "learned". For "learned"
        the model has twice the channels, and the loss adds 0.001 times the bound, estimated by T
        times its term in bits per dimension; its gradient moves only the variances.
      min_snr: a bound on the weight of times with little noise (Hang et al. 2023, arXiv
        2303.09556).
      conditional: whether the model gets the class.
      label_dropout: the share of training examples whose class the model does not get.
      guidance: w of `none + w (class - none)`, where `class` and `none` are the predictions with
        and without a class: 1 or None uses the class alone, 0 the model without a class.
      sampler: name and arguments of a function of library/diffusion/samplers.py; by default
        dict(name="ancestral"), all steps.
      clip: whether predicted images are clipped to [-1, 1] when sampling and in the bound.
      num_snapshots: k, the number of images of "path".
      bound_steps: number of terms of the bound that are computed per example. Each stands for an
        interval of times, from which one is drawn at random. All terms by default.

    Raises:
      ConfigError: a name is unknown, there are more steps than the schedule has or less than one,
        `conditional` is set for a dataset without classes, or guidance asks a model that always or
        never gets the class.
    """
    check_choice("prediction", prediction, PREDICTIONS)
    check_choice("variance", variance, VARIANCES)
    process = make_process(schedule, timesteps)
    weights = loss_weights(process, prediction, min_snr)
    _check_classes(conditional, num_classes, label_dropout, guidance)
    _check_range("num_snapshots", num_snapshots, 2, None)
    _check_range("bound_steps", bound_steps, 1, timesteps - 1)
    table = _table(sampler, process, variance)
    classes = num_classes if conditional else None
    denoiser = Denoiser(model, process, prediction, variance == "learned", classes)

    def init(key: PRNGKeyArray, batch: Batch) -> TrainState:
        return learner.init(denoiser.initialized(batch, key))

    def losses(variables, batch, keys, label, **options):
        each = denoiser.losses(variables, batch["image"], keys, label, weights, **options)
        return {name: pair(value, batch["mask"]) for name, value in each.items()}

    def objective(
        params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Metrics, PyTree]:
        index, label = batch["index"], denoiser.label(batch)
        keys = rng.per_example(rng.purpose(key, "diffusion"), index)
        if label_dropout:
            label = jnp.where(_dropped(key, index, label_dropout), classes, label)
        options = dict(train=True, rngs=streams(key, index))
        everything = {"params": params, **variables}
        return losses(everything, batch, keys, label, **options), variables

    def evaluate(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        # The same noise at every evaluation of every run, so that losses compare.
        keys = rng.per_example(rng.purpose(rng.root(0), "diffusion"), batch["row"])
        return losses(variables_of(state), batch, keys, denoiser.label(batch))

    learner = minimize(objective)
    outputs = {
        **_sampling(_guided(denoiser, guidance), table, image_shape, clip, num_snapshots),
        "bits": _bits(denoiser, variance, clip, bound_steps or timesteps - 1),
    }
    return Task(init, learner.update, evaluate, outputs)


def to_signed(image: Float[Array, "..."]) -> Float[Array, "..."]:
    """Maps images from [0, 1] to [-1, 1]."""
    return 2 * image - 1


def to_unit(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Maps images from [-1, 1] to [0, 1], and clips values outside."""
    return jnp.clip((x + 1) / 2, 0, 1)


def _check_classes(conditional, num_classes, label_dropout, guidance):
    check_rates(label_dropout=label_dropout)
    if conditional and num_classes is None:
        raise ConfigError("conditional=True, but the dataset has no classes")
    if not conditional and (guidance is not None or label_dropout):
        given = f"guidance={guidance}" if guidance is not None else f"label_dropout={label_dropout}"
        raise ConfigError(f"{given} needs classes: set conditional=True on a dataset with classes")
    if guidance not in (None, 1) and not label_dropout:
        raise ConfigError(
            f"guidance={guidance} asks the model without a class, which label_dropout=0 never "
            "trains: try label_dropout=0.1"
        )


def _check_range(name, value, least, most):
    if value is not None and not least <= value <= (value if most is None else most):
        end = "" if most is None else f" to {most}"
        raise ConfigError(f"{name}={value}: valid are {least}{end or ' or more'}")


def _table(sampler: Mapping[str, Any] | None, process: Process, variance: str) -> Table:
    """Returns the steps of the sampler that a config names, by default all ancestral ones."""
    spec, known = sampler or {"name": "ancestral"}, dict(process=process, variance=variance)
    return config.build(spec, "library.diffusion.samplers", "sampler", **known)


def _dropped(key: PRNGKeyArray, index: UInt32[Array, " b"], share: float) -> Bool[Array, " b"]:
    keys = rng.per_example(rng.purpose(key, "label_dropout"), index)
    return jax.vmap(lambda key: jax.random.bernoulli(key, share))(keys)


def _time_and_noise(key: PRNGKeyArray, timesteps: int, shape: tuple[int, ...]):
    time, noise = jax.random.split(key)
    return jax.random.randint(time, (), 0, timesteps), jax.random.normal(noise, shape)


def _guided(denoiser: Denoiser, guidance: float | None) -> Callable[..., Any]:
    """Returns `(variables, x, time, batch) -> (x0, raw variances)`, with guidance."""

    def guided(variables, x, time, batch):
        label = denoiser.label(batch)
        if guidance == 0:
            label = jnp.full_like(label, denoiser.classes)
        if guidance in (None, 0, 1):
            output, raw = denoiser.ask(variables, x, time, label)
            return denoiser.to_x0(x, output, time), raw
        # An example's two predictions are neighbours, so that both stay on its device.
        labels = jnp.stack([label, jnp.full_like(label, denoiser.classes)], axis=1).reshape(-1)
        twice = x.repeat(2, axis=0)
        found = denoiser.ask(variables, twice, time.repeat(2), labels)
        output, raw = jax.tree.map(lambda y: y.reshape(-1, 2, *y.shape[1:]), found)
        mixed = output[:, 1] + guidance * (output[:, 0] - output[:, 1])
        return denoiser.to_x0(x, mixed, time), None if raw is None else raw[:, 0]

    return guided


def _sampling(
    guided: Callable[..., Any],
    table: Table,
    image_shape: tuple[int, int, int],
    clip: bool,
    num_snapshots: int,
) -> Mapping[str, Callable[..., Any]]:
    steps = len(table.time)
    rows = jax.tree.map(lambda x: np.asarray(x, np.float32), table)._replace(
        time=table.time.astype(np.int32)
    )
    noisy = bool(np.any(table.noise))

    def run(state: TrainState, batch: Batch, key: PRNGKeyArray, kept: np.ndarray) -> Array:
        """Returns x after each number of steps in `kept`, (b, len(kept), h, w, c)."""
        keys = rng.per_example(rng.purpose(key, "sample"), batch["index"])
        variables = variables_of(state)

        def step(carry, at_step):
            x, last, frames = carry
            i, row, places = at_step
            x0, raw = guided(variables, x, jnp.full(len(x), row.time), batch)
            x0 = jnp.clip(x0, -1, 1) if clip else x0
            x = row.on_x * x + row.on_x0 * x0 + row.on_last * last
            if noisy:
                x += _deviation(row, raw) * _normal(keys, i + 1, image_shape)
            frames = jnp.where(places[:, None, None, None], x[:, None], frames)
            return (x, x0, frames), None

        x = _normal(keys, 0, image_shape)
        start = (x, jnp.zeros_like(x), jnp.repeat(x[:, None], len(kept), axis=1))
        places = np.arange(1, steps + 1)[:, None] == kept
        (_, _, frames), _ = jax.lax.scan(step, start, (np.arange(steps), rows, places))
        return to_unit(frames)

    def sample(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b h w c"]:
        return run(state, batch, key, np.array([steps]))[:, 0]

    def path(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b k h w c"]:
        kept = np.round(np.linspace(0, steps, num_snapshots)).astype(int)
        return run(state, batch, key, kept)

    return {"sample": sample, "path": path}


def _normal(keys, i, shape):
    return jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, i), shape))(keys)


def _deviation(row: Table, raw: Float[Array, "b h w c"] | None) -> Float[Array, "..."]:
    if row.log_variances is None:
        return row.noise
    low, high = (bound.reshape(1, 1, 1, 1) for bound in row.log_variances)
    learned = jnp.exp(0.5 * interpolated_log_variance(raw, low, high))
    return jnp.where(row.noise > 0, learned, 0.0)


def _bits(
    denoiser: Denoiser, variance: str, clip: bool, num_terms: int
) -> Callable[..., Mapping[str, Array]]:
    process = denoiser.process
    # Each term stands for one interval of times; with all terms an interval is one time.
    edges = np.round(np.linspace(1, process.timesteps, num_terms + 1)).astype(np.int32)

    def bits(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Mapping[str, Array]:
        x0, variables = to_signed(batch["image"]), variables_of(state)
        label = denoiser.label(batch)
        keys = rng.per_example(rng.purpose(key, "bits"), batch["row"])

        def term(start, end):
            own = jax.vmap(lambda key: jax.random.fold_in(key, start))(keys)
            pick, draw = jax.vmap(jax.random.split, out_axes=1)(own)
            time = jax.vmap(lambda key: jax.random.randint(key, (), start, end))(pick)
            noise = jax.vmap(lambda key: jax.random.normal(key, x0.shape[1:]))(draw)
            x = noised(process, x0, time, noise)
            output, raw = denoiser.ask(variables, x, time, label)
            predicted = denoiser.to_x0(x, output, time)
            predicted = jnp.clip(predicted, -1, 1) if clip else predicted
            return step_bits(process, variance, x0, x, time, predicted, raw)

        def add(total, stretch):
            start, end = stretch
            return total + (end - start) * term(start, end), None

        total, _ = jax.lax.scan(add, jnp.zeros(len(x0)), (edges[:-1], edges[1:]))
        return {
            "prior": prior_bits(process, x0),
            "denoising": total,
            "reconstruction": term(0, 1),
        }

    return bits
