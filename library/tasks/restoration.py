"""Restoration: a network makes a clean image from a damaged one.

Super-resolution, denoising, inpainting and interpolation between frames differ in the damage alone:
an operation of `library.degradations` makes it from the clean image, or the examples bring their
damaged images, such as pairs of photographs or the frames before and after.

PSNR and SSIM are measured as the papers do: on images that are rounded to 8 bits, on luma, without
a margin as wide as the enlargement, averaged over images. So the bicubic enlargement of Set5 reads
33.66, 30.39 and 28.42 dB at scales 2, 3 and 4.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from library import bicubic, colour_spaces, config, fidelity, rng
from library.config import ConfigError, check_choice
from library.degradations import Degradation
from library.forward import applied, variables_of
from library.task import Batch, Learner, Loss, Metrics, Task, TrainState, pair

# Charbonnier et al. 1994; the constant of Lai et al. 2017 (LapSRN).
_CHARBONNIER = 1e-3
LOSSES = {
    "l1": jnp.abs,
    "l2": jnp.square,
    "charbonnier": lambda error: jnp.sqrt(jnp.square(error) + _CHARBONNIER**2),
}


def restoration(
    model: nn.Module,
    minimize: Callable[[Loss], Learner],
    *,
    degradation: dict | None = None,
    test_degradation: dict | None = None,
    inputs: tuple[str, ...] = (),
    target: str = "image",
    loss: Literal["l1", "l2", "charbonnier"] = "l1",
    channels: Literal["all", "luma"] = "all",
    measure: Literal["luma", "all"] = "luma",
    context: float = 0.0,
    margin: int | None = None,
    unnormalize: Callable[[Array], Array] = lambda image: image,
) -> Task:
    """Builds the task of restoring the image `target` (b, h, w, c), in [0, 1].

    The loss is a mean over pixels and channels. The training metrics are loss and psnr. Evaluation
    gives loss, psnr and ssim of the restored image, and input_psnr, that of the damaged image: of
    its bicubic enlargement if it is smaller, of the mean of several. If the damage loses pixels,
    loss, psnr and input_psnr are over these alone, and the other pixels of the restored image are
    those of the damaged one; an image that lost none does not count. Images smaller than 11x11
    without the margin have no ssim. The feature `image_size`, see the preprocessing `mirror`, says
    which pixels of a canvas are the image.

    Outputs: "restored" (b, h, w, c); "triplet" (b, 3, h, w, c), the damaged image enlarged, the
    restored and the true image; "psnr" and "error" (b,), the decibels and the mean squared error of
    each example, to rank them; "restore", the images that the model makes from images that are
    damaged already: from the features `inputs`, or from `image` if the run makes the damage.

    Args:
      model: `(damaged images ..., train) -> image (b, h, w, c)`.
      minimize: turns a loss into the training step.
      degradation: name and arguments of a function of library/degradations.py that makes the
        damaged image from the target.
      test_degradation: that of evaluation, such as one level of noise; by default `degradation`.
      inputs: the features with damaged images, in place of a degradation.
      target: the feature with the clean image.
      loss: "l1", "l2", or "charbonnier", a smooth l1.
      channels: "luma" restores the luma of colour images, rounded to 8 bits before the damage;
        "restore" enlarges chroma by bicubic interpolation.
      measure: whether PSNR and SSIM are of the "luma" of colour images or of "all" channels.
      context: weight, in the training loss, of the pixels that a degradation does not lose, if it
        loses some.
      margin: pixels at the border that PSNR and SSIM leave out; by default the enlargement.
      unnormalize: maps the batch's images back to [0, 1], which must change nothing.

    Raises:
      ConfigError: there is neither or both of a degradation and inputs, the config normalizes
        images, or a choice is unknown. When it is traced: the model's image has another size than
        the target.
    """
    check_choice("loss", loss, LOSSES)
    check_choice("channels", channels, ("all", "luma"))
    check_choice("measure", measure, ("luma", "all"))
    check_unnormalized(unnormalize)
    damage, test = damages(degradation, test_degradation, inputs)
    problem = Problem(damage, inputs, target, channels, LOSSES[loss], measure, context, margin)
    tested = problem._replace(degradation=test, context=0.0)

    def init(key: PRNGKeyArray, batch: Batch) -> TrainState:
        damaged = problem.posed(problem.whole(batch), key).inputs
        return learner.init(model.init(rng.purpose(key, "params"), *damaged, train=False))

    def objective(
        params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Metrics, PyTree]:
        posed = problem.posed(batch, key)
        made, variables = applied(model, params, variables, posed.inputs, key, batch["index"])
        each = problem.losses(made, posed)
        psnr = problem.measured(made, posed)["psnr"]
        measures = {
            "loss": pair(each, batch["mask"]),
            "psnr": pair(psnr, posed.harmed(batch["mask"])),
        }
        return measures, variables

    def restored(state: TrainState, posed: "Posed") -> Float[Array, "b h w c"]:
        made = model.apply(variables_of(state), *posed.inputs, train=False)
        return problem.completed(made, posed)

    def evaluate(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        posed = tested.posed(batch, key)
        made = restored(state, posed)
        each = {"loss": tested.losses(made, posed), **tested.measured(made, posed)}
        each["input_psnr"] = tested.measured(posed.baseline, posed)["psnr"]
        mask = posed.harmed(batch["mask"])
        return {name: pair(values, mask) for name, values in each.items()}

    def apply(state: TrainState, images: list[Array]) -> Float[Array, "b h w c"]:
        return model.apply(variables_of(state), *images, train=False)

    learner = minimize(objective)
    return Task(init, learner.update, evaluate, outputs(tested, restored, apply))


class Posed(NamedTuple):
    """Examples as problems to solve.

    Attributes:
      inputs: the damaged images, which the model takes.
      clean: the true images.
      inside: the pixels that the loss counts, (b, h, w).
      lost: the pixels that the damage lost, (b, h, w), or None.
      baseline: the damaged images at the size of the true ones.
    """

    inputs: list[Float[Array, "b h2 w2 c"]]
    clean: Float[Array, "b h w c"]
    inside: Bool[Array, "b h w"]
    lost: Bool[Array, "b h w"] | None
    baseline: Float[Array, "b h w c"]

    def harmed(self, mask: Float[Array, " b"]) -> Float[Array, " b"]:
        """Returns the mask of the examples without those that lost no pixel, if any lose some."""
        if self.lost is None:
            return mask
        return mask * jnp.any(self.inside & self.lost, axis=(1, 2))


class Problem(NamedTuple):
    """How examples are damaged, and how what is made of them is measured.

    Attributes are the arguments of `restoration`; `degradation` is built, or None.
    """

    degradation: Degradation | None
    inputs: tuple[str, ...]
    target: str
    channels: str
    loss: Callable[[Array], Array]
    measure: str = "luma"
    context: float = 0.0
    margin: int | None = None

    def posed(self, batch: Batch, key: PRNGKeyArray) -> Posed:
        """Returns the examples of a batch as problems."""
        clean, lost = self.of_channels(batch[self.target]), None
        if self.degradation is None:
            inputs = [self.of_channels(batch[name]) for name in self.inputs]
        else:
            keys = rng.per_example(rng.purpose(key, "damage"), batch["index"])
            damaged = self.degradation.apply(clean, keys)
            inputs, lost = [damaged.image], damaged.lost
        shape = clean.shape[1:3]
        size = batch.get("image_size", jnp.tile(jnp.array(shape), (len(clean), 1)))
        inside = fidelity.region(shape, size, 0)
        return Posed(inputs, clean, inside, lost, enlarged(inputs, shape))

    def of_channels(self, image: Float[Array, "b h w c"]) -> Float[Array, "b h w _"]:
        """Returns the channels that the network restores."""
        if self.channels == "all" or image.shape[-1] == 1:
            return image
        return fidelity.quantized(colour_spaces.luma(image))

    def whole(self, batch: Batch) -> Batch:
        """Returns two examples, cut so that the degradation divides their sides.

        Initial values depend on the images' size at most, and images are whole before a crop.
        """
        few = {name: value[:2] for name, value in batch.items()}
        if self.degradation is None:
            return few
        factor, image = self.degradation.factor, few[self.target]
        height, width = (max(side // factor, 1) * factor for side in image.shape[1:3])
        return {**few, self.target: image[:, :height, :width]}

    def losses(self, made: Array, posed: Posed) -> Float[Array, " b"]:
        """Returns the loss of each example.

        Raises:
          ConfigError: what is made has another size than the true image.
        """
        if made.shape != posed.clean.shape:
            given = ", ".join(str(image.shape) for image in posed.inputs)
            raise ConfigError(
                f"the model makes images {made.shape} of {given}, but the true ones are "
                f"{posed.clean.shape}: its scale must be the enlargement, and its channels those "
                "of the images"
            )
        weight = posed.inside.astype(made.dtype)
        if posed.lost is not None:
            weight = weight * jnp.where(posed.lost, 1.0, self.context)
        each = jnp.mean(self.loss(made - posed.clean), axis=-1)
        # An image without a lost pixel inside has no loss.
        total = jnp.maximum(jnp.sum(weight, axis=(1, 2)), 1e-6)
        return jnp.sum(weight * each, axis=(1, 2)) / total

    def completed(self, made: Array, posed: Posed) -> Array:
        """Returns what is made, with the known pixels of the damaged image."""
        if posed.lost is None:
            return made
        return jnp.where(posed.lost[..., None], made, posed.baseline)

    def measured(self, made: Array, posed: Posed) -> dict[str, Float[Array, " b"]]:
        """Returns psnr and ssim of each example, as the papers measure them."""
        a, b = (fidelity.quantized(x) for x in (made, posed.clean))
        a, b = map(colour_spaces.luma, (a, b)) if self.measure == "luma" else (a, b)
        inside = self._counted(posed)
        of_error = inside if posed.lost is None else inside & posed.lost
        found = {"psnr": fidelity.psnr(a, b, of_error)}
        if min(made.shape[1:3]) - 2 * self._margin(posed) >= fidelity.SIDE:
            found["ssim"] = fidelity.ssim(a, b, inside)
        return found

    def errors(self, made: Array, posed: Posed) -> Float[Array, " b"]:
        """Returns the mean squared error of each example, over the pixels that PSNR counts."""
        inside = self._counted(posed)
        inside = inside if posed.lost is None else inside & posed.lost
        return fidelity.mean_inside(jnp.square(made - posed.clean), inside)

    def _margin(self, posed: Posed) -> int:
        factor = posed.clean.shape[1] // posed.inputs[0].shape[1]
        return self.margin if self.margin is not None else (factor if factor > 1 else 0)

    def _counted(self, posed: Posed) -> Bool[Array, "b h w"]:
        margin = self._margin(posed)
        if not margin:
            return posed.inside
        rows, columns = jnp.any(posed.inside, axis=2), jnp.any(posed.inside, axis=1)
        size = jnp.stack([jnp.sum(rows, axis=1), jnp.sum(columns, axis=1)], axis=1)
        return fidelity.region(posed.clean.shape[1:3], size, margin)


def outputs(
    problem: Problem,
    restored: Callable[[TrainState, Posed], Array],
    apply: Callable[[TrainState, list[Array]], Array],
) -> Mapping[str, Callable[..., Any]]:
    """Returns the outputs of a task of restoration, see `restoration`.

    Args:
      problem: how examples are damaged.
      restored: `(state, posed examples) -> images`.
      apply: `(state, damaged images) -> images`.
    """

    def made(state: TrainState, batch: Batch, key: PRNGKeyArray) -> tuple[Array, Posed]:
        posed = problem.posed(batch, key)
        return restored(state, posed), posed

    def image(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b h w c"]:
        return fidelity.quantized(made(state, batch, key)[0])

    def triplet(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b 3 h w c"]:
        found, posed = made(state, batch, key)
        shown = jnp.stack([posed.baseline, found, posed.clean], axis=1)
        return jnp.where(posed.inside[:, None, ..., None], jnp.clip(shown, 0, 1), 1.0)

    def psnr(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, " b"]:
        return problem.measured(*made(state, batch, key))["psnr"]

    def error(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, " b"]:
        return problem.errors(*made(state, batch, key))

    def restore(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b h w c"]:
        given = [batch[name] for name in problem.inputs or ("image",)]
        if problem.channels == "all" or given[0].shape[-1] == 1:
            return jnp.clip(apply(state, given), 0, 1)
        parts = [colour_spaces.to_ycbcr(each) for each in given]
        luma = apply(state, [part[..., :1] for part in parts])
        chroma = enlarged([part[..., 1:] for part in parts], luma.shape[1:3])
        whole = jnp.concatenate([luma, chroma], axis=-1)
        return jnp.clip(colour_spaces.from_ycbcr(whole), 0, 1)

    return {
        "restored": image,
        "triplet": triplet,
        "psnr": psnr,
        "error": error,
        "restore": restore,
    }


def enlarged(images: list[Array], size: tuple[int, int]) -> Array:
    """Returns the mean of images, enlarged to a size by bicubic interpolation."""
    return bicubic.resized(sum(images) / len(images), size)


def damages(
    degradation: dict | None, test_degradation: dict | None, inputs: tuple[str, ...]
) -> tuple[Degradation | None, Degradation | None]:
    """Builds the degradations of training and of evaluation.

    Raises:
      ConfigError: there is neither or both of a degradation and inputs.
    """
    if (degradation is None) == (not inputs):
        raise ConfigError(
            f"degradation={degradation}, inputs={list(inputs)}: write one of them: what makes the "
            "damaged image, such as dict(name='downscale', factor=3), or the features that hold "
            "damaged images, such as ['damaged']"
        )
    if degradation is None:
        if test_degradation is not None:
            raise ConfigError(f"test_degradation={test_degradation} needs a degradation")
        return None, None
    made, test = (_built(spec) for spec in (degradation, test_degradation or degradation))
    if made.factor != test.factor:
        raise ConfigError(
            f"degradation enlarges {made.factor} times, test_degradation {test.factor} times: a "
            "network enlarges by one factor"
        )
    return made, test


def _built(spec: dict) -> Degradation:
    return config.build(spec, "library.degradations", "degradation")


def check_unnormalized(unnormalize: Callable[[Array], Array]) -> None:
    """Raises ConfigError if the config normalizes images."""
    ends = np.float32([[0], [1]])
    found = np.asarray(unnormalize(ends))
    if found.shape != ends.shape or (found != ends).any():
        raise ConfigError(
            "normalize is set, but this task takes images in [0, 1], and its networks subtract "
            "their means by themselves: leave config.normalize out"
        )
