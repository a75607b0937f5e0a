"""Autoencoding: a model encodes an image as a short code and reconstructs the image from it.

- Plain and deep: Rumelhart, Hinton & Williams 1986; Hinton & Salakhutdinov 2006.
- Denoising: Vincent et al. 2008, "Extracting and Composing Robust Features with Denoising
  Autoencoders". The image is corrupted again each time it is seen; the clean image is the target.
- Sparse: an L1 penalty on the code, or a penalty on the mean activation of each unit (Ng 2011,
  "Sparse autoencoder", CS294A lecture notes, section 3).
- Greedy layer-wise pre-training: Bengio et al. 2007, "Greedy Layer-Wise Training of Deep Networks",
  with autoencoders as layers, as Vincent et al. 2008 stack them. Each layer trains to the end, on
  the codes of the layers before it, which stay fixed, before the next layer starts. The restricted
  Boltzmann machines of 2006 differ: they are trained by contrastive divergence, have stochastic
  units, and one matrix for both directions (fine-tuning unties it). Here each layer is a
  deterministic autoencoder with two matrices.

A code serves for compression, as features of a classifier, to detect anomalies by their
reconstruction error, and, poorly, to generate images from noise.
"""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray, PyTree

from library import rng, trees
from library.config import ConfigError, check_choice
from library.forward import recorded_outputs
from library.optim import phases
from library.task import Batch, Learner, Metrics, Task, TrainState, pair

# The running averages of the codes' moments forget half of a value in 69 steps.
CODE_MOMENTUM = 0.99
# Each device updates the averages by the codes of its part of the batch.
SPREAD = {"code_statistics": "averaged"}
# Ng 2011, section 3: a small value close to zero, say 0.05.
SPARSITY_TARGET = 0.05


def autoencoding(
    model: nn.Module,
    minimize: Callable[..., Learner],
    *,
    loss: Literal["cross_entropy", "squared_error"] = "cross_entropy",
    pixels: Literal["sigmoid", "linear"] = "sigmoid",
    objective: Literal["reconstruction", "layerwise"] = "reconstruction",
    corruption: Literal["none", "masking", "gaussian", "salt_and_pepper"] = "none",
    corruption_level: float = 0.0,
    sparsity: Literal["none", "l1", "kl"] = "none",
    sparsity_weight: float = 0.0,
    sparsity_target: float | None = None,
    held_out: int | None = None,
    num_classes: int | None = None,
    total_steps: int | None = None,
    axis_name: str | None = None,
) -> Task:
    """Builds the task of reconstructing `batch["image"]`, in [0, 1], from its code.

    The metrics are sums over the pixels of an image, averaged over images. They are loss, which is
    minimized, and squared_error of the reconstruction (through the whole network; of the clean
    image in evaluation). Training adds sparsity, the weighted penalty, if there is one. Evaluation
    adds denoised_error if there is a corruption: the squared error between the reconstruction of
    the corrupted image and the clean image. The layerwise objective adds loss_layer1, loss_layer2,
    ..., the loss of each layer; its loss is that of the layer that this step trains, or, in
    evaluation, of the layer that the last step trained.

    The variables "code_statistics" hold running means of the codes and of their squares.

    Outputs: "encode" and "features" (b, d), the code; "decode", an image from `batch["code"]`
    (b, d); "reconstruct"; "comparison" (b, 2, h, w, c), the image and its reconstruction; "error"
    (b,), the squared error between these, a score of anomaly; "sample", images of codes drawn from
    a Gaussian with the mean and standard deviation of each element of the code in training (most
    are poor because an autoencoder does not learn the distribution of its codes); "denoise"
    (b, 3, h, w, c), the clean, the corrupted and the reconstructed image; "intermediates".

    Args:
      model: a model with methods `encode` and `decode`, and `layerwise` for that objective, such as
        those of `library.models.generative.autoencoder`.
      minimize: turns a loss into the training step.
      loss: "cross_entropy" or "squared_error" of pixels.
      pixels: the predicted pixels are "sigmoid", with either loss, or "linear", the decoder's
        output as it is, with squared errors.
      objective: "reconstruction" trains all layers together. "layerwise" trains the encoder's
        layers one after the other, each in an equal part of the run, by the cross-entropy of the
        layer's input and its reconstruction by that layer and its mirror in the decoder. All other
        layers stay fixed, also in the running averages, with any optimizer. As many `phases` in the
        optimizer's spec give each layer new moments and its own schedule.
      corruption: "masking" sets an exact share of the elements of each image to 0,
        "salt_and_pepper" sets such a share to 0 or 1 at random, "gaussian" adds noise. The
        layerwise objective corrupts the input of every layer.
      corruption_level: the share, or the standard deviation of the noise.
      sparsity: "l1" adds the sum of the code's absolute values; "kl" adds the sum over the code's
        units of KL(target || mean activation in the batch), for codes between 0 and 1. With
        gradient accumulation the mean is that of a part of the batch.
      sparsity_weight: factor of the penalty.
      sparsity_target: the target of "kl", a mean activation; 0.05 by default.
      held_out: a label whose images have weight 0 in training and in the metrics of evaluation:
        the anomalies of the evaluator `anomaly`.
      num_classes: number of classes of the dataset.
      total_steps: steps of the whole run, which the layers share.
      axis_name: the axis of the devices under pmap.

    Raises:
      ConfigError: a choice is unknown, a value is out of range or has no use, or the model lacks
        what an argument needs.
    """
    check_choice("loss", loss, _LOSSES)
    penalty = _sparsity(model, sparsity, sparsity_weight, sparsity_target, axis_name)
    first = _phases(model, objective, loss, sparsity, total_steps)
    _check_held_out(held_out, num_classes)
    corrupt = _corruption(corruption, corruption_level)
    output = _pixels(pixels, loss)
    losses = _Losses(model, _LOSSES[loss], output, corrupt, penalty, held_out)

    def init(key: PRNGKeyArray, batch: Batch) -> TrainState:
        variables = model.init(rng.purpose(key, "params"), batch["image"])
        statistics = {"mean": jnp.zeros(model.latent_dim), "square": jnp.ones(model.latent_dim)}
        return learner.init({"params": variables["params"], "code_statistics": statistics})

    def greedy_update(
        state: TrainState, batch: Batch, key: PRNGKeyArray
    ) -> tuple[TrainState, Metrics]:
        layer = phases.current(state.step, first)
        one = minimize(functools.partial(losses.training, layer=layer), spread=SPREAD)
        moved, metrics = one.update(state, batch, key)
        return _moved_in(model, layer, state, moved), metrics

    def evaluate(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        params, image = state.params, batch["image"]
        if first:
            layer = phases.current(jnp.maximum(state.step - 1, 0), first)
            metrics, _ = losses.layerwise(params, batch, lambda place, x: x, layer)
        else:
            metrics, _ = losses.reconstruction(params, batch, image)
        if corruption == "none":
            return metrics
        noisy = corrupt(_corruption_keys(batch, key), image)
        denoised, _ = losses.reconstruction(params, batch, noisy)
        return {**metrics, "denoised_error": denoised["squared_error"]}

    learner = minimize(losses.training, spread=SPREAD)
    update = greedy_update if first else learner.update
    return Task(init, update, evaluate, _outputs(model, output, corrupt))


class _Losses(NamedTuple):
    """The losses of the task, and their parts.

    Attributes:
      model: a model with `encode`, `decode` and, for the layerwise loss, `layerwise`.
      measure: `(logits, target, output) -> losses (b,)`.
      output: from the decoder's values to pixels.
      corrupt: `(keys (b,), x (b, ...)) -> x`.
      penalty: `(codes (b, d), weights (b,)) -> penalty`, or None.
      held_out: a label whose images have no weight, or None.
    """

    model: nn.Module
    measure: Callable[[Array, Array, Callable[[Array], Array]], Array]
    output: Callable[[Array], Array]
    corrupt: Callable[[Key[Array, " b"], Array], Array]
    penalty: Callable[[Array, Array], Array] | None
    held_out: int | None

    def weights(self, batch: Batch) -> Float[Array, " b"]:
        """Returns the weight of each example."""
        held_out = self.held_out
        return batch["mask"] if held_out is None else batch["mask"] * (batch["label"] != held_out)

    def reconstruction(self, params: PyTree, batch: Batch, image: Array) -> tuple[Metrics, Array]:
        """Returns the metrics of reconstructing a batch from the code of `image`, and the code."""
        code = self.model.apply({"params": params}, image, method="encode")
        logits = self.model.apply({"params": params}, code, method="decode")
        weight, target = self.weights(batch), batch["image"]
        loss = pair(self.measure(logits, target, self.output), weight)
        error = pair(_squared_error(logits, target, self.output), weight)
        return {"loss": loss, "squared_error": error}, code

    def layerwise(
        self,
        params: PyTree,
        batch: Batch,
        noise: Callable[[int, Array], Array],
        layer: Int[Array, ""],
    ) -> tuple[Metrics, Array]:
        """Returns the layerwise metrics, and the code of the clean image.

        The loss is that of `layer`, computed without the other layers' losses. Only it has a
        gradient.
        """

        def losses(params: PyTree) -> list[Array]:
            image = batch["image"]
            pairs = self.model.apply({"params": params}, image, noise, method="layerwise")
            return [_cross_entropy(logits, target) for target, logits in pairs]

        layers = range(len(self.model.layer_names()))
        branches = [lambda params, i=i: losses(params)[i] for i in layers]
        chosen = jax.lax.switch(layer, branches, params)
        fixed, weight = jax.lax.stop_gradient(params), self.weights(batch)
        metrics, code = self.reconstruction(fixed, batch, batch["image"])
        each = {f"loss_layer{i}": pair(x, weight) for i, x in enumerate(losses(fixed), 1)}
        return {**metrics, "loss": pair(chosen, weight), **each}, code

    def training(
        self,
        params: PyTree,
        variables: PyTree,
        batch: Batch,
        key: PRNGKeyArray,
        layer: Int[Array, ""] | None = None,
    ) -> tuple[Metrics, PyTree]:
        """Returns the metrics and variables of a training step, layerwise if `layer` is given."""
        keys, weight = _corruption_keys(batch, key), self.weights(batch)
        if layer is None:
            image = self.corrupt(keys, batch["image"])
            metrics, code = self.reconstruction(params, batch, image)
        else:

            def noise(place, x):
                return self.corrupt(jax.vmap(rng.at_step, (0, None))(keys, place), x)

            metrics, code = self.layerwise(params, batch, noise, layer)
        if self.penalty is not None:
            (total, count), extra = metrics["loss"], self.penalty(code, weight)
            metrics = {**metrics, "loss": (total + extra, count), "sparsity": (extra, count)}
        moved = _moved_statistics(variables["code_statistics"], code, weight)
        return metrics, {**variables, "code_statistics": moved}


def _outputs(
    model: nn.Module,
    output: Callable[[Array], Array],
    corrupt: Callable[[Key[Array, " b"], Array], Array],
) -> Mapping[str, Callable[..., Any]]:
    def encoded(state: TrainState, image: Array) -> Array:
        return model.apply({"params": state.params}, image, method="encode")

    def decoded(state: TrainState, code: Array) -> Array:
        return output(model.apply({"params": state.params}, code, method="decode"))

    def encode(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b d"]:
        return encoded(state, batch["image"])

    def decode(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b h w c"]:
        width = batch["code"].shape[-1]
        if width != model.latent_dim:
            raise ValueError(f"codes have {width} elements, but the model has {model.latent_dim}")
        return decoded(state, batch["code"])

    def reconstruct(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b h w c"]:
        return decoded(state, encoded(state, batch["image"]))

    def comparison(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b 2 h w c"]:
        return jnp.stack([batch["image"], reconstruct(state, batch, key)], axis=1)

    def error(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, " b"]:
        difference = reconstruct(state, batch, key) - batch["image"]
        return jnp.sum(jnp.square(difference), axis=(1, 2, 3))

    def sample(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b h w c"]:
        keys = rng.per_example(rng.purpose(key, "code"), batch["index"])
        return decoded(state, _drawn_codes(state.variables["code_statistics"], keys))

    def denoise(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b 3 h w c"]:
        noisy = corrupt(_corruption_keys(batch, key), batch["image"])
        images = [batch["image"], jnp.clip(noisy, 0, 1), decoded(state, encoded(state, noisy))]
        return jnp.stack(images, axis=1)

    return {
        "encode": encode,
        "decode": decode,
        "reconstruct": reconstruct,
        "comparison": comparison,
        "error": error,
        "sample": sample,
        "denoise": denoise,
        **recorded_outputs(model),
    }


def _check_held_out(label: int | None, num_classes: int | None) -> None:
    if label is not None and not 0 <= label < (num_classes or label + 1):
        valid = "0 and more" if num_classes is None else f"0 to {num_classes - 1}"
        raise ConfigError(f"held_out={label}: labels are {valid}")


def _drawn_codes(
    statistics: Mapping[str, Float[Array, " d"]], keys: Key[Array, " b"]
) -> Float[Array, "b d"]:
    """Draws a code for each key from the Gaussian with the mean and deviation of the codes."""
    mean = statistics["mean"]
    noise = jax.vmap(lambda key: jax.random.normal(key, mean.shape))(keys)
    variance = statistics["square"] - jnp.square(mean)
    return mean + jnp.sqrt(jnp.maximum(variance, 0.0)) * noise


def _pixels(kind: str, loss: str) -> Callable[[Array], Array]:
    check_choice("pixels", kind, ("sigmoid", "linear"))
    if kind == "linear" and loss != "squared_error":
        raise ConfigError(f"pixels='linear' needs loss='squared_error', not {loss!r}")
    return jax.nn.sigmoid if kind == "sigmoid" else lambda values: values


def _cross_entropy(
    logits: Float[Array, "b ..."], target: Float[Array, "b ..."], output: Any = jax.nn.sigmoid
) -> Float[Array, " b"]:
    losses = optax.sigmoid_binary_cross_entropy(logits, target)
    return jnp.sum(losses.reshape(len(losses), -1), axis=-1)


def _squared_error(
    logits: Float[Array, "b ..."], target: Float[Array, "b ..."], output: Callable[[Array], Array]
) -> Float[Array, " b"]:
    squares = jnp.square(output(logits) - target)
    return jnp.sum(squares.reshape(len(squares), -1), axis=-1)


_LOSSES = {"cross_entropy": _cross_entropy, "squared_error": _squared_error}


def _corruption(kind: str, level: float) -> Callable[[Key[Array, " b"], Array], Array]:
    """Returns the corruption `(keys (b,), x (b, ...)) -> x`."""
    check_choice("corruption", kind, ("none", *_CORRUPTIONS))
    if kind == "none":
        if level:
            raise ConfigError(f"corruption_level={level} is read with a corruption only")
        return lambda keys, x: x
    if kind == "gaussian" and not 0 < level < float("inf"):
        raise ConfigError(f"corruption_level={level}: valid are finite deviations above 0")
    if kind != "gaussian" and not 0 < level <= 1:
        raise ConfigError(f"corruption_level={level}: valid are shares above 0 and up to 1")
    return lambda keys, x: jax.vmap(lambda key, one: _CORRUPTIONS[kind](key, one, level))(keys, x)


def _corruption_keys(batch: Batch, key: PRNGKeyArray) -> Key[Array, " b"]:
    return rng.per_example(rng.purpose(key, "corruption"), batch["index"])


def _chosen(key: PRNGKeyArray, shape: tuple[int, ...], share: float) -> Bool[Array, "..."]:
    """Marks round(share n) of n elements, chosen uniformly at random."""
    size = math.prod(shape)
    count = round(share * size)
    if count == 0:
        return jnp.zeros(shape, bool)
    lots = jax.random.bits(key, (size,))
    return (lots <= jnp.sort(lots)[count - 1]).reshape(shape)


def _mask(key: PRNGKeyArray, x: Array, level: float) -> Array:
    return jnp.where(_chosen(key, x.shape, level), 0.0, x)


def _salt_and_pepper(key: PRNGKeyArray, x: Array, level: float) -> Array:
    coins = jax.random.bernoulli(rng.purpose(key, "coin"), shape=x.shape)
    return jnp.where(_chosen(key, x.shape, level), coins.astype(x.dtype), x)


def _add_noise(key: PRNGKeyArray, x: Array, level: float) -> Array:
    return x + level * jax.random.normal(key, x.shape, x.dtype)


_CORRUPTIONS = {"masking": _mask, "salt_and_pepper": _salt_and_pepper, "gaussian": _add_noise}


def _sparsity(
    model: nn.Module, kind: str, weight: float, target: float | None, axis_name: str | None
) -> Callable[[Array, Array], Array] | None:
    """Returns `(codes (b, d), weights (b,)) -> penalty`, a sum over the examples, or None."""
    check_choice("sparsity", kind, ("none", "l1", "kl"))
    if kind == "none" and weight:
        raise ConfigError(f"sparsity_weight={weight} is read with a sparsity only, not 'none'")
    if kind != "none" and not 0 < weight < float("inf"):
        raise ConfigError(f"sparsity_weight={weight}: valid are numbers above 0")
    if kind != "kl" and target is not None:
        raise ConfigError(f"sparsity_target={target} is read with sparsity='kl' only, not {kind!r}")
    target = SPARSITY_TARGET if target is None else target
    if kind == "kl" and not 0 < target < 1:
        raise ConfigError(f"sparsity_target={target}: valid are numbers between 0 and 1")
    if kind == "kl" and model.code_activation != "sigmoid":
        raise ConfigError(
            f"sparsity='kl' compares activations between 0 and 1, but the model has "
            f"code_activation={model.code_activation!r}, not 'sigmoid'"
        )

    def absolute(code: Float[Array, "b d"], mask: Float[Array, " b"]) -> Float[Array, ""]:
        return weight * pair(jnp.sum(jnp.abs(code), axis=-1), mask)[0]

    def divergence(code: Float[Array, "b d"], mask: Float[Array, " b"]) -> Float[Array, ""]:
        sums = pair(code, mask)
        total, count = sums if axis_name is None else jax.lax.psum(sums, axis_name)
        return weight * jnp.sum(mask) * _bernoulli_divergence(target, total / jnp.maximum(count, 1))

    return {"none": None, "l1": absolute, "kl": divergence}[kind]


def _phases(
    model: nn.Module, objective: str, loss: str, sparsity: str, total_steps: int | None
) -> tuple[int, ...]:
    """Returns the first step of each layer, or () where there is no layerwise objective."""
    check_choice("objective", objective, ("reconstruction", "layerwise"))
    if objective != "layerwise":
        return ()
    if loss != "cross_entropy" or sparsity != "none":
        raise ConfigError(
            f"objective='layerwise' needs loss='cross_entropy' and sparsity='none', "
            f"not {loss!r} and {sparsity!r}"
        )
    if model.activation != "sigmoid" or not hasattr(model.encoder, "layer"):
        raise ConfigError(
            "objective='layerwise' reconstructs each layer by a cross-entropy: it needs a dense "
            f"model with activation='sigmoid', not {type(model.encoder).__name__} with "
            f"{model.activation!r}"
        )
    layers = len(model.layer_names())
    if total_steps is None or total_steps < layers:
        raise ConfigError(
            f"total_steps={total_steps}: objective='layerwise' needs a step for each of its "
            f"{layers} layers; valid are {layers} or more"
        )
    return phases.starts(total_steps, layers)


def _moved_in(
    model: nn.Module, layer: Int[Array, ""], before: TrainState, after: TrainState
) -> TrainState:
    """Returns the state after a step in which only that layer and its mirror move."""

    def choose(path: str, old: Array, new: Array) -> Array:
        own = [any(path.startswith(f"{name}/") for name in names) for names in model.layer_names()]
        return jnp.where(jnp.array(own)[layer], new, old)

    def chosen(old: PyTree, new: PyTree) -> PyTree:
        return trees.map_with_path(choose, old, new)

    ema = after.ema
    if ema is not None:
        ema = {**ema, "params": chosen(before.ema["params"], ema["params"])}
    return after.replace(params=chosen(before.params, after.params), ema=ema)


def _bernoulli_divergence(target: float, mean: Float[Array, " d"]) -> Float[Array, ""]:
    """Returns the sum over units of KL(target || mean) (Ng 2011, section 3)."""
    # In float32 a mean activation can reach 0 or 1, where the divergence is not finite.
    mean = jnp.clip(mean, 1e-6, 1 - 1e-6)
    rest = (1 - target) * jnp.log((1 - target) / (1 - mean))
    return jnp.sum(target * jnp.log(target / mean) + rest)


def _moved_statistics(
    statistics: Mapping[str, Array], code: Float[Array, "b d"], weight: Float[Array, " b"]
) -> dict[str, Array]:
    total = jnp.sum(weight)
    share = jnp.where(total > 0, 1 - CODE_MOMENTUM, 0.0)

    def moved(old, values):
        mean = pair(values, weight)[0] / jnp.maximum(total, 1)
        return old + share * (mean - old)

    squares = jnp.square(code)
    return {"mean": moved(statistics["mean"], code), "square": moved(statistics["square"], squares)}
