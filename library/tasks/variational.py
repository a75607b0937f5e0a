"""Variational autoencoding: a latent-variable model learns by a bound on its likelihood.

Kingma & Welling 2014, "Auto-Encoding Variational Bayes", eq. 10. With a standard normal prior p(z)
and the encoder's diagonal Gaussian q(z | x), the evidence lower bound is

    ELBO = E_q(z|x)[log p(x | z)] - KL(q(z | x) || p(z)) <= log p(x),

The first term is estimated by one draw of z, the second is in closed form (appendix B of the
paper). All values are in nats per image.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.scipy.special import ndtri
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray, PyTree, UInt32

from library import rng
from library.config import ConfigError, check_choice
from library.gaussians import divergence_from_standard
from library.task import Batch, Learner, Loss, Metrics, Task, TrainState, pair

_HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)


def variational(
    model: nn.Module,
    minimize: Callable[[Loss], Learner],
    *,
    likelihood: Literal["bernoulli", "gaussian", "discretized_logistic"] = "bernoulli",
    beta: float = 1.0,
    free_bits: float = 0.0,
    binarize: bool = False,
    interpolation_steps: int = 10,
    manifold_size: int = 20,
    axis_name: str | None = None,
) -> Task:
    """Builds the task of modelling `batch["image"]`, in [0, 1], with latent variables.

    Training minimizes reconstruction + beta KL. Its metrics are loss, reconstruction (minus
    log p(x | z)) and kl. Evaluation adds elbo (with beta = 1 for any beta of training) and, for
    the discretized logistic, bits_per_dim, the negative bound in bits per element.

    Outputs: "sample", the mean of p(x | z) for z drawn from the prior; "reconstruct", the mean of
    p(x | z) at the mean of q(z | x); "comparison" (b, 2, h, w, c), the image as the encoder gets
    it, and its reconstruction; "encode" and "features" (b, d), the mean of q(z | x); "decode", the
    image of `batch["code"]` (b, d); "interpolate" (b, k, h, w, c), images along the straight line
    between two draws from the prior; "manifold" (b, n, h, w, c), for models with two latent
    variables, row `index` mod n of the images on an n x n grid of equal probability (Kingma &
    Welling 2014, figure 4); "log_weights" (b,), log p(x, z) / q(z | x) for one z drawn from
    q(z | x), whose exponential has the mean p(x) (see the evaluator `importance_weighted`).
    Conditional models read `batch["label"]` for each output.

    Args:
      model: a model with methods `encode` and `decode`, such as those of
        `library.models.generative.vae`.
      minimize: turns a loss into the training step.
      likelihood: "bernoulli", for pixels between 0 and 1 (a likelihood for binary pixels only);
        "gaussian"; or "discretized_logistic", for pixels of 256 values (Salimans et al. 2017,
        PixelCNN++, section 2.1, with one component). The last two use the model's learned scale.
      beta: factor of the KL (Higgins et al. 2017).
      free_bits: nats of each latent variable's KL, averaged over the batch, that have no penalty
        (Kingma et al. 2016, IAF, appendix C.8, one group per variable). With gradient accumulation
        the average is that of a part of the batch.
      binarize: whether each pixel is drawn as 0 or 1 with its value as probability (Salakhutdinov &
        Murray 2008). Training draws again each time it sees an image; in evaluation the image's
        row fixes the draw.
      interpolation_steps: k, the number of images of "interpolate".
      manifold_size: n, the number of rows and columns of "manifold".
      axis_name: the axis of the devices under pmap.

    Raises:
      ConfigError: the likelihood is unknown, a value is out of range, or the likelihood needs a
        scale that the model does not have.
    """
    _check(model, likelihood, beta, free_bits, interpolation_steps, manifold_size)
    bound = _Bound(model, _LIKELIHOODS[likelihood], beta, free_bits, axis_name)

    def init(key: PRNGKeyArray, batch: Batch) -> TrainState:
        label = _label(model, batch)
        return learner.init(model.init(rng.purpose(key, "params"), batch["image"], label=label))

    def training_loss(
        params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Metrics, PyTree]:
        keys = rng.per_example(rng.purpose(key, "binarize"), batch["index"])
        image = _binarized(batch["image"], keys) if binarize else batch["image"]
        return bound.metrics(params, batch, image, key), variables

    def evaluate(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        measured = bound.metrics(state.params, batch, _as_evaluated(batch, binarize), key)
        elbo, count = -measured["reconstruction"][0] - measured["kl"][0], measured["kl"][1]
        measured = {**measured, "elbo": (elbo, count)}
        if likelihood == "discretized_logistic":
            bits = -elbo / (math.log(2) * math.prod(model.image_shape))
            measured["bits_per_dim"] = (bits, count)
        return measured

    def log_weights(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, " b"]:
        return bound.log_weights(state.params, batch, _as_evaluated(batch, binarize), key)

    learner = minimize(training_loss)
    outputs = _outputs(model, likelihood, binarize, interpolation_steps, manifold_size)
    return Task(init, learner.update, evaluate, {**outputs, "log_weights": log_weights})


class _Bound(NamedTuple):
    """The evidence lower bound of a model, and what training makes of its terms.

    Attributes:
      model: the model.
      log_likelihood: `(image, location, log_scale) -> log p(x | z)`, (b,).
      beta: factor of the KL.
      free_bits: nats of each latent variable's KL that have no penalty.
      axis_name: the axis of the devices under pmap.
    """

    model: nn.Module
    log_likelihood: Callable[[Array, Array, Array | None], Array]
    beta: float
    free_bits: float
    axis_name: str | None

    def metrics(
        self, params: PyTree, batch: Batch, image: Float[Array, "b h w c"], key: PRNGKeyArray
    ) -> Metrics:
        """Returns loss, reconstruction and kl, with one z for each example."""
        mean, log_variance = _encode(self.model, params, batch, image)
        z = mean + jnp.exp(0.5 * log_variance) * self.noise(batch, key)
        reconstruction = -self.log_likelihood(image, *_decode(self.model, params, batch, z))
        divergence, mask = divergence_from_standard(mean, log_variance), batch["mask"]
        total, count = pair(reconstruction, mask)
        penalty = _penalty(divergence, mask, self.free_bits, self.axis_name)
        return {
            "loss": (total + self.beta * penalty, count),
            "reconstruction": (total, count),
            "kl": pair(jnp.sum(divergence, axis=-1), mask),
        }

    def log_weights(
        self, params: PyTree, batch: Batch, image: Float[Array, "b h w c"], key: PRNGKeyArray
    ) -> Float[Array, " b"]:
        """Returns log p(x, z) / q(z | x), with one z for each example."""
        mean, log_variance = _encode(self.model, params, batch, image)
        noise = self.noise(batch, key)
        z = mean + jnp.exp(0.5 * log_variance) * noise
        # This is log p(z) - log q(z | x): the constants cancel.
        prior = 0.5 * jnp.sum(jnp.square(noise) + log_variance - jnp.square(z), axis=-1)
        return self.log_likelihood(image, *_decode(self.model, params, batch, z)) + prior

    def noise(self, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b d"]:
        """Returns epsilon of z = mean + deviation epsilon (section 2.4 of the paper)."""
        return _noise(key, batch, "latent", self.model.latent_dim)


def _outputs(
    model: nn.Module, likelihood: str, binarize: bool, steps: int, size: int
) -> Mapping[str, Callable[..., Any]]:
    def images(
        state: TrainState, batch: Batch, z: Float[Array, "b *k d"]
    ) -> Float[Array, "b *k h w c"]:
        """Returns the means of p(x | z), for one z or k of them per example."""
        location = _decode(model, state.params, batch, z)[0]
        if likelihood == "bernoulli":
            location = jax.nn.sigmoid(location)
        return jnp.clip(location, 0.0, 1.0)

    def encode(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b d"]:
        return _encode(model, state.params, batch, _as_evaluated(batch, binarize))[0]

    def decode(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b h w c"]:
        width = batch["code"].shape[-1]
        if width != model.latent_dim:
            raise ValueError(f"codes have {width} elements, but the model has {model.latent_dim}")
        return images(state, batch, batch["code"])

    def reconstruct(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b h w c"]:
        return images(state, batch, encode(state, batch, key))

    def comparison(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b 2 h w c"]:
        image = _as_evaluated(batch, binarize)
        return jnp.stack([image, reconstruct(state, batch, key)], axis=1)

    def sample(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b h w c"]:
        return images(state, batch, _noise(key, batch, "prior", model.latent_dim))

    def interpolate(
        state: TrainState, batch: Batch, key: PRNGKeyArray
    ) -> Float[Array, "b k h w c"]:
        start, end = (_noise(key, batch, end, model.latent_dim) for end in ("prior", "prior end"))
        return images(state, batch, _between(start, end, steps))

    def manifold(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b k h w c"]:
        return images(state, batch, _grid_rows(batch["index"], size))

    outputs = {
        "sample": sample,
        "reconstruct": reconstruct,
        "comparison": comparison,
        "encode": encode,
        "decode": decode,
        "features": encode,
        "interpolate": interpolate,
    }
    return {**outputs, "manifold": manifold} if model.latent_dim == 2 else outputs


def _between(
    start: Float[Array, "b d"], end: Float[Array, "b d"], steps: int
) -> Float[Array, "b {steps} d"]:
    """Returns evenly spaced points on the straight lines from start to end."""
    share = jnp.linspace(0.0, 1.0, steps)[:, None]
    return (1 - share) * start[:, None] + share * end[:, None]


def _grid_rows(index: UInt32[Array, " b"], size: int) -> Float[Array, "b {size} 2"]:
    """Returns row `index` mod `size` of a square grid of equal probability under the prior."""
    grid = ndtri((jnp.arange(size) + 0.5) / size)
    row = jnp.broadcast_to(-grid[index % size][:, None], (len(index), size))
    return jnp.stack([jnp.broadcast_to(grid, row.shape), row], axis=-1)


def _label(model: nn.Module, batch: Batch) -> Int[Array, " b"] | None:
    if not model.condition:
        return None
    label = batch["label"]
    if label.ndim != 1 or not jnp.issubdtype(label.dtype, jnp.integer):
        raise ValueError(
            f"a conditional model takes one class per example, int (b,), not {label.dtype} "
            f"{label.shape}"
        )
    return label


def _encode(
    model: nn.Module, params: PyTree, batch: Batch, image: Float[Array, "b h w c"]
) -> tuple[Float[Array, "b d"], Float[Array, "b d"]]:
    return model.apply({"params": params}, image, _label(model, batch), method="encode")


def _decode(
    model: nn.Module, params: PyTree, batch: Batch, z: Float[Array, "b *k d"]
) -> tuple[Float[Array, "b *k h w c"], Float[Array, " c"] | None]:
    label, shape = _label(model, batch), z.shape[:-1]
    if label is not None and z.ndim == 3:
        label = jnp.repeat(label, z.shape[1])
    flat = z.reshape(-1, z.shape[-1])
    location, log_scale = model.apply({"params": params}, flat, label, method="decode")
    return location.reshape(*shape, *location.shape[1:]), log_scale


def _noise(key: PRNGKeyArray, batch: Batch, name: str, size: int) -> Float[Array, "b d"]:
    keys = rng.per_example(rng.purpose(key, name), batch["index"])
    return jax.vmap(lambda one: jax.random.normal(one, (size,)))(keys)


def _binarized(image: Float[Array, "b h w c"], keys: Key[Array, " b"]) -> Float[Array, "b h w c"]:
    drawn = jax.vmap(lambda key, p: jax.random.uniform(key, p.shape) < p)(keys, image)
    return drawn.astype(image.dtype)


def _as_evaluated(batch: Batch, binarize: bool) -> Float[Array, "b h w c"]:
    if not binarize:
        return batch["image"]
    # The test set must be the same for all runs, whatever their seed.
    keys = rng.per_example(rng.purpose(rng.root(0), "binarize"), batch["row"])
    return _binarized(batch["image"], keys)


def _penalty(
    divergence: Float[Array, "b d"],
    mask: Float[Array, " b"],
    free_bits: float,
    axis_name: str | None,
) -> Float[Array, ""]:
    """Returns the part of the KL that has a penalty, summed over the examples."""
    sums = pair(divergence, mask)
    if free_bits == 0:
        return jnp.sum(sums[0])
    total, count = sums if axis_name is None else jax.lax.psum(sums, axis_name)
    return jnp.sum(mask) * jnp.sum(jnp.maximum(free_bits, total / jnp.maximum(count, 1)))


def _bernoulli(
    image: Float[Array, "b h w c"], logits: Float[Array, "b h w c"], log_scale: None
) -> Float[Array, " b"]:
    return jnp.sum(image * logits - jax.nn.softplus(logits), axis=(1, 2, 3))


def _gaussian(
    image: Float[Array, "b h w c"], mean: Float[Array, "b h w c"], log_scale: Float[Array, " c"]
) -> Float[Array, " b"]:
    squares = jnp.square((image - mean) * jnp.exp(-log_scale))
    return -jnp.sum(0.5 * squares + log_scale + _HALF_LOG_TAU, axis=(1, 2, 3))


def _discretized_logistic(
    image: Float[Array, "b h w c"], mean: Float[Array, "b h w c"], log_scale: Float[Array, " c"]
) -> Float[Array, " b"]:
    """Returns log p(image) for pixels that are multiples of 1/255.

    The first and the last bin have all the probability beyond them.
    """
    half = 0.5 / 255
    upper = (image - mean + half) * jnp.exp(-log_scale)
    lower = (image - mean - half) * jnp.exp(-log_scale)
    # log(s(u) - s(l)) is log s(u) + log s(-l) + log(1 - exp(l - u)): this form avoids the
    # difference of two close numbers far from the mean.
    width = 2 * half * jnp.exp(-log_scale)
    inside = jax.nn.log_sigmoid(upper) + jax.nn.log_sigmoid(-lower) + jnp.log(-jnp.expm1(-width))
    first, last = jax.nn.log_sigmoid(upper), jax.nn.log_sigmoid(-lower)
    each = jnp.where(image < half, first, jnp.where(image > 1 - half, last, inside))
    return jnp.sum(each, axis=(1, 2, 3))


_LIKELIHOODS = {
    "bernoulli": _bernoulli,
    "gaussian": _gaussian,
    "discretized_logistic": _discretized_logistic,
}


def _check(
    model: nn.Module, likelihood: str, beta: float, free_bits: float, steps: int, size: int
) -> None:
    check_choice("likelihood", likelihood, _LIKELIHOODS)
    if model.learned_scale != (likelihood != "bernoulli"):
        raise ConfigError(
            f"likelihood={likelihood!r} needs a model with learned_scale="
            f"{likelihood != 'bernoulli'}, not {model.learned_scale}"
        )
    if not 0 <= beta < float("inf"):
        raise ConfigError(f"beta={beta}: valid are 0 and more")
    if not 0 <= free_bits < float("inf"):
        raise ConfigError(f"free_bits={free_bits}: valid are 0 (none) and more, in nats")
    if steps < 2:
        raise ConfigError(f"interpolation_steps={steps}: valid are 2 and more")
    if size < 1:
        raise ConfigError(f"manifold_size={size}: valid are 1 and more")
