"""The networks whose features compare images, and the features of real and generated images."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from library.config import ConfigError, check_choice
from library.evaluation.context import Context
from library.models.image.inception_v3 import inception_v3
from library.task import Batch, TrainState
from library.weights import inception_v3 as published

_SIZE = 299
Rows = Callable[[TrainState], Iterator[np.ndarray]]


class Embedding(NamedTuple):
    """One output of a network for images in [0, 1].

    Attributes:
      variables: the variables of the network. Compiled functions get them within the state, so that
        not each function holds its own copy of a hundred megabytes.
      apply: `(variables, image (b, h, w, c))` -> (b, d).
    """

    variables: PyTree
    apply: Callable[[PyTree, Array], Array]

    @classmethod
    def inception(cls, weights: str, output: str) -> "Embedding":
        """Returns the Inception-v3 network that measures Frechet distances, see `library.models`.

        As in pytorch-fid, images are resized to 299x299, bilinearly and without antialiasing, and
        scaled to [-1, 1]. Grey images are repeated in all three channels.

        Args:
          weights: file of the published weights.
          output: "features", 2048 means over space; or "probabilities" of 1008 classes, from logits
            without their bias, as Salimans et al. 2016 compute them.

        Raises:
          ConfigError: the file is missing, cannot be read, or does not fit.
        """
        model = inception_v3(num_classes=published.FID_CLASSES, variant="fid")

        def apply(variables, image):
            x = 2 * _resized(image) - 1
            # Tensor cores and TPUs round to fewer digits than papers state distances with.
            with jax.default_matmul_precision("float32"):
                logits, state = model.apply(variables, x, mutable=["intermediates"])
            if output == "features":
                return state["intermediates"]["features"]
            return jax.nn.softmax(logits - variables["params"]["head"]["bias"])

        return cls(published.load(weights, model), apply)

    @classmethod
    def judge(cls, context: Context, classifier: str, output: str) -> "Embedding":
        """Returns the embedding by a finished run of this project.

        Args:
          context: the context that loads the run.
          classifier: the workdir of the run.
          output: "features" or "probabilities".

        Raises:
          ConfigError: there is no such run, or it has no such output.
        """
        made = context.judge(classifier, output)
        return cls({}, lambda variables, image: made(image))

    def generated(self, context: Context, *, output: str, num: int, batch_size: int | None) -> Rows:
        """Returns the function `state` -> batches of features of the task's images 0 to num - 1.

        Images are unnormalized, clipped and rounded to the 256 levels of an image file.

        Raises:
          ConfigError: the task has no such output.
        """
        check_choice("output", output, context.task.outputs)

        def image(state, batch, key):
            made = context.task.outputs[output](state, batch, key)
            return _to_levels(jnp.clip(context.unnormalize(made), 0, 1))

        return self._rows(context, image, lambda: context.draws(num, batch_size))

    def real(self, context: Context, *, split: str, batch_size: int | None) -> Rows:
        """Returns the function `state` -> batches of features of all images of a split.

        The features do not depend on the state. Images are unnormalized, and rounded as in
        `generated`. The iterator raises ValueError if pixels of the split are not in [0, 1].
        """

        def image(state, batch, key):
            return _to_levels(context.unnormalize(batch["image"]))

        return self._rows(context, image, lambda: context.batches(split, batch_size))

    def _rows(
        self, context: Context, image: Callable, batches: Callable[[], Iterable[Batch]]
    ) -> Rows:
        def function(state, batch, key):
            own = state.replace(variables=state.variables["task"])
            x = image(own, batch, key)
            outside = jnp.any((x < -1e-3) | (x > 1 + 1e-3), axis=(1, 2, 3))
            features = self.apply(state.variables["network"], x).astype(jnp.float32)
            return {"features": features, "outside": outside, "mask": batch["mask"]}

        compiled = context.collect(function)

        def rows(state: TrainState) -> Iterator[np.ndarray]:
            state = self._beside(state)
            for batch in batches():
                found = compiled(state, batch)
                there = found["mask"] > 0
                if found["outside"][there].any():
                    raise ValueError(
                        "images are compared in [0, 1], but this dataset has pixels outside"
                    )
                yield np.asarray(found["features"][there], np.float64)

        return rows

    def _beside(self, state: TrainState) -> TrainState:
        variables = self.variables
        if isinstance(state.step, jax.Array):
            variables = jax.device_put(variables, state.step.sharding)
        return state.replace(variables={"task": state.variables, "network": variables})


def _to_levels(image: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    return jnp.round(image * 255) / 255


def _resized(image: Float[Array, "b h w c"]) -> Float[Array, "b s s 3"]:
    channels = image.shape[-1]
    if channels not in (1, 3):
        raise ConfigError(f"Inception takes images of 1 or 3 channels, these have {channels}")
    shape = (len(image), _SIZE, _SIZE, channels)
    x = jax.image.resize(image, shape, "bilinear", antialias=False)
    return jnp.broadcast_to(x, (*shape[:3], 3))
