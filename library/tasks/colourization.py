"""Colourization: a network gives colours to a grey image.

- By classes: Zhang, Isola & Efros 2016, "Colorful Image Colorization" (arXiv 1603.08511). The
  network predicts a distribution over 313 bins of colour; rare colours weigh more, and the colour
  is the annealed mean of the distribution.
- By regression: the network predicts a and b of CIE Lab, whose squared error favours grey.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from library import bicubic, colour_bins, colour_spaces, fidelity, rng
from library.config import ConfigError, check_choice
from library.forward import applied, variables_of
from library.task import Batch, Learner, Loss, Metrics, Task, TrainState, pair
from library.tasks.restoration import check_unnormalized

# Lightness and colours are divided by these for the network.
_LIGHT, _COLOUR = 50.0, 110.0
WEIGHTS = "colour_weights"


def colourization(
    model: nn.Module,
    minimize: Callable[[Loss], Learner],
    *,
    objective: Literal["classes", "regression"] = "classes",
    rebalance: bool = False,
    temperature: float = colour_bins.TEMPERATURE,
    unnormalize: Callable[[Array], Array] = lambda image: image,
) -> Task:
    """Builds the task of predicting the colours of an image (b, h, w, 3) from its lightness.

    The network gets L / 50 - 1. Its result may be smaller than the image by a whole factor: it is
    compared with the mean colours of squares, and enlarged by bicubic interpolation.

    The loss is a mean over pixels: the cross-entropy with the five nearest bins, or the squared
    error of a / 110 and b / 110. The training metric is loss. Evaluation gives loss, psnr over all
    channels, grey_psnr, that of the image without colours, and colour_distance, the mean distance
    in the plane of a and b.

    Outputs: "restored" and "restore" (b, h, w, 3), the lightness of the image in predicted colours;
    "grey", the image without colours; "triplet" (b, 3, h, w, 3), the grey, the predicted and the
    true image; "psnr" and "error" (b,), the decibels and the mean squared error of each example.

    Args:
      model: `(lightness (b, h, w, 1), train) -> (b, h', w', k)`; k is 313 for classes, 2 for
        regression.
      minimize: turns a loss into the training step.
      objective: "classes" or "regression".
      rebalance: whether to weigh pixels by the bin nearest to their colour, with the feature
        `colour_weights` of the preprocessing of that name.
      temperature: T of the annealed mean; 1 is the mean, and near 0 the likeliest bin.
      unnormalize: maps the batch's images back to [0, 1], which must change nothing.

    Raises:
      ConfigError: a choice is unknown, a value has no use or is out of range, or the config
        normalizes images. When it is traced: the images have no colours, there are no weights, or
        the model's result does not fit.
    """
    check_choice("objective", objective, ("classes", "regression"))
    check_unnormalized(unnormalize)
    if not temperature > 0:
        raise ConfigError(f"temperature={temperature}: valid are numbers above 0, such as 0.38")
    if objective == "regression" and (rebalance or temperature != colour_bins.TEMPERATURE):
        raise ConfigError("rebalance and temperature are read with objective='classes' only")
    problem = _Problem(objective, rebalance, temperature)

    def init(key: PRNGKeyArray, batch: Batch) -> TrainState:
        light, _ = problem.posed({**batch, "image": batch["image"][:2]})
        return learner.init(model.init(rng.purpose(key, "params"), light, train=False))

    def loss(
        params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Metrics, PyTree]:
        light, lab = problem.posed(batch)
        made, variables = applied(model, params, variables, [light], key, batch["index"])
        return {"loss": pair(problem.losses(made, lab, batch), batch["mask"])}, variables

    def predicted(state: TrainState, batch: Batch) -> tuple[Array, Array, Array]:
        light, lab = problem.posed(batch)
        made = model.apply(variables_of(state), light, train=False)
        problem.check(made)
        return made, problem.coloured(made, lab), lab

    def evaluate(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        made, found, lab = predicted(state, batch)
        apart = jnp.sqrt(jnp.sum(jnp.square(found - lab)[..., 1:], axis=-1))
        each = {
            "loss": problem.losses(made, lab, batch),
            "psnr": _psnr(colour_spaces.from_lab(found), batch["image"]),
            "grey_psnr": _psnr(_grey(lab), batch["image"]),
            "colour_distance": jnp.mean(apart, axis=(1, 2)),
        }
        return {name: pair(values, batch["mask"]) for name, values in each.items()}

    learner = minimize(loss)
    return Task(init, learner.update, evaluate, _outputs(predicted))


class _Problem(NamedTuple):
    """What is learnt of the colours; attributes are the arguments of `colourization`."""

    objective: str
    rebalance: bool
    temperature: float

    def posed(self, batch: Batch) -> tuple[Float[Array, "b h w 1"], Float[Array, "b h w 3"]]:
        """Returns the lightness that the network gets, and CIE Lab."""
        if batch["image"].shape[-1] != 3:
            raise ConfigError("colourization needs colour images, decoded with channels=3")
        lab = colour_spaces.to_lab(batch["image"])
        return lab[..., :1] / _LIGHT - 1, lab

    def check(self, made: Array) -> None:
        """Raises ConfigError if what the model makes has another number of channels."""
        wanted = 2 if self.objective == "regression" else len(colour_bins.bins())
        if made.shape[-1] != wanted:
            raise ConfigError(
                f"the model has num_classes={made.shape[-1]}, but this objective needs {wanted}"
            )

    def losses(self, made: Array, lab: Array, batch: Batch) -> Float[Array, " b"]:
        """Returns the loss of each example."""
        small = averaged(lab[..., 1:], made.shape)
        self.check(made)
        if self.objective == "regression":
            each = jnp.sum(jnp.square(made - small / _COLOUR), axis=-1)
        else:
            place, share = colour_bins.encoded(small)
            found = jnp.take_along_axis(jax.nn.log_softmax(made), place, axis=-1)
            each = -jnp.sum(share * found, axis=-1)
            if self.rebalance:
                each = each * _weights(batch, place[..., 0])
        return jnp.mean(each, axis=(1, 2))

    def coloured(self, made: Array, lab: Array) -> Float[Array, "b h w 3"]:
        """Returns what the model makes as CIE Lab, with the true lightness."""
        small = made * _COLOUR
        if self.objective == "classes":
            small = colour_bins.decoded(made, self.temperature)
        return jnp.concatenate([lab[..., :1], bicubic.resized(small, lab.shape[1:3])], axis=-1)


def _outputs(predicted: Callable) -> Mapping[str, Callable[..., Any]]:
    def restored(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b h w 3"]:
        return fidelity.quantized(colour_spaces.from_lab(predicted(state, batch)[1]))

    def grey(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b h w 3"]:
        return fidelity.quantized(_grey(colour_spaces.to_lab(batch["image"])))

    def triplet(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b 3 h w 3"]:
        images = (grey(state, batch, key), restored(state, batch, key), batch["image"])
        return jnp.stack(images, axis=1)

    def psnr(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, " b"]:
        return _psnr(restored(state, batch, key), batch["image"])

    def error(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, " b"]:
        difference = restored(state, batch, key) - batch["image"]
        return jnp.mean(jnp.square(difference), axis=(1, 2, 3))

    made = {"restored": restored, "restore": restored, "grey": grey}
    return {**made, "triplet": triplet, "psnr": psnr, "error": error}


def averaged(ab: Float[Array, "b h w 2"], shape: tuple[int, ...]) -> Float[Array, "b h2 w2 2"]:
    """Returns the mean colours of squares, as many as a result of `shape` (b, h2, w2, k) has.

    Raises:
      ConfigError: the result is not smaller than the image by a whole factor.
    """
    batch, height, width, _ = ab.shape
    factor = height // max(shape[1], 1)
    if factor < 1 or (factor * shape[1], factor * shape[2]) != (height, width):
        raise ConfigError(
            f"the model makes {shape[1]}x{shape[2]} colours of an image of {height}x{width}: valid "
            "are sides smaller by the same whole factor"
        )
    cells = ab.reshape(batch, shape[1], factor, shape[2], factor, 2)
    return jnp.mean(cells, axis=(2, 4))


def _weights(batch: Batch, nearest: Array) -> Float[Array, "b h w"]:
    if WEIGHTS not in batch:
        raise ConfigError(
            f"rebalance=True reads the feature {WEIGHTS!r}: add dict(name={WEIGHTS!r}) to the "
            "preprocessing"
        )
    return jax.vmap(lambda weights, place: weights[place])(batch[WEIGHTS], nearest)


def _grey(lab: Float[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
    return colour_spaces.from_lab(lab * jnp.array([1.0, 0.0, 0.0]))


def _psnr(image: Array, true: Array) -> Float[Array, " b"]:
    inside = jnp.ones(true.shape[:-1], bool)
    return fidelity.psnr(fidelity.quantized(image), true, inside)
