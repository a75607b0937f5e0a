"""Principal components: the best linear autoencoder, in closed form.

Pearson 1901, "On lines and planes of closest fit to systems of points in space". A linear
autoencoder with squared errors has no other minimum than the span of the first components (Baldi &
Hornik 1989, "Neural networks and principal component analysis"); gradient descent finds the span,
and here its orthonormal axes are computed.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray, PyTree

from library import moments
from library.config import ConfigError
from library.models.generative.autoencoder import Autoencoder
from library.task import Batch, Task, TrainState
from library.tasks.autoencoding import autoencoding


def principal_components(
    model: Autoencoder,
    *,
    solve_every: int | None = None,
    total_steps: int | None = None,
    axis_name: str | None = None,
) -> Task:
    """Builds the task of compressing `batch["image"]` to its first principal components.

    The model is a linear autoencoder, whose params are computed. The encoder returns the components
    of an image less the mean image, the one with the largest variance first; the decoder has the
    same components and the mean image. A step adds its batch to sums; nothing is minimized, and the
    recipe has no optimizer. After one epoch the components are those of the whole set.

    Metrics and outputs are those of `autoencoding` with linear pixels; samples are drawn from the
    Gaussian with the variances of the components.

    Args:
      model: `autoencoder.dense` with hidden=() and code_activation="linear".
      solve_every: steps from one solution to the next, each of time (pixels)^3; None for the last
        step of the run only.
      total_steps: steps of the whole run.
      axis_name: the device axis to sum over, under `pmap`.

    Raises:
      ConfigError: the model has hidden layers, its code is not linear or longer than the image, or
        `solve_every` is below 1.
    """
    pixels, count = _checked(model), model.latent_dim

    def seen(state: TrainState, batch: Batch, key: PRNGKeyArray) -> tuple[Array, None]:
        return batch["image"].reshape(len(batch["image"]), -1), None

    def solve(sums: moments.Moments, variables: PyTree) -> PyTree:
        found = moments.principal_components(sums, count)
        axes, mean = found["components"], found["mean"]
        center = -jnp.matmul(axes, mean, precision="highest")
        params = {
            "encoder": {"code": {"kernel": axes.T, "bias": center}},
            "decoder": {"image": {"kernel": axes, "bias": mean}},
        }
        codes = {"mean": jnp.zeros(count), "square": jnp.maximum(found["variances"][:count], 0)}
        like = variables["params"]
        params = jax.tree.map(lambda new, old: new.astype(old.dtype), params, like)
        return {**variables, "params": params, "code_statistics": codes}

    minimize = moments.solved(
        seen,
        lambda variables: moments.zeros(pixels),
        solve,
        solve_every=total_steps or 1 if solve_every is None else solve_every,
        total_steps=total_steps,
        axis_name=axis_name,
    )
    return autoencoding(model, minimize, loss="squared_error", pixels="linear", axis_name=axis_name)


def _checked(model: Autoencoder) -> int:
    """Returns the number of pixels that a linear autoencoder takes."""
    widths = getattr(model.encoder, "widths", None)
    height, width, channels = model.image_shape
    pixels = height * width * channels
    if widths != (model.latent_dim,) or model.code_activation != "linear":
        raise ConfigError(
            "principal components need a linear autoencoder: model.name='autoencoder.dense' with "
            f"hidden=[] and code_activation='linear', not hidden={list(widths or ())[:-1]} and "
            f"{model.code_activation!r}"
        )
    if model.latent_dim > pixels:
        raise ConfigError(f"latent_dim={model.latent_dim}: images of {pixels} pixels have as many")
    return pixels
