"""A trained classifier whose kernels are products of two smaller ones, trained on.

Denton et al. 2014 (arXiv 1404.0736), Jaderberg et al. 2014 (arXiv 1405.3866) and Zhang et al. 2016
(arXiv 1505.06798) make the factors; what they lose comes back by fine-tuning (Denton et al.,
section 3). `library.compression.low_rank` says how kernels are factored.
"""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, PyTree

from library import config, trees
from library.compression import kernels
from library.compression import low_rank as factors
from library.config import ConfigError
from library.task import Learner, Loss, Task, TrainState, check_outputs
from library.tasks.classification import classification


def low_rank(
    model: nn.Module,
    minimize: Callable[[Loss], Learner],
    *,
    num_classes: int,
    image_shape: tuple[int, int, int],
    source: str,
    teaching: Callable[[str, str], tuple[Any, Callable[[Any, Array], Array]]],
    rank: int | float | None = None,
    energy: float | None = None,
    scheme: Literal["channel", "spatial"] = "channel",
    kept: tuple[str, ...] = (),
    classifier: dict | None = None,
) -> Task:
    """Builds the task `classification` of a network that starts as another run's, factored.

    Kernels of dense layers and convolutions are replaced by two factors each, "kernel_first" and
    "kernel_second", where these have fewer numbers; the optimizer moves the factors. Metrics and
    outputs are those of `classification`. The source has to be there whenever the task is built.

    Args:
      model: the source's, `(image (b, h, w, c), train) -> logits (b, num_classes)`.
      minimize: turns a loss into the training step.
      num_classes: classes of the data set.
      image_shape: (h, w, c) of an image.
      source: the workdir of the finished classifier; of running averages, where it has them.
      teaching: brings it back: (workdir, output) -> its state, and a function.
      rank: of every kernel, a whole number from 1, or the share of its full rank.
      energy: in place of a rank, the share of each kernel's squared singular values that is kept.
      scheme: of convolutions, see `library.compression.low_rank`.
      kept: patterns of kernels that stay whole, such as "head".
      classifier: further arguments of `classification`.

    Raises:
      ConfigError: no such run, or one of another model; a rank, energy or pattern out of range; or
        as `classification`.
    """
    check_outputs(model, num_classes, "num_classes")
    learnt, _ = teaching(source, "logits")
    image = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    start = _fitting(learnt, jax.eval_shape(model.init, jax.random.key(0), image), source)
    found = kernels.survey(model, start, image)
    decomposed = factors.decompose(start["params"], found, scheme=scheme, kept=kept)
    params = factors.factored(start["params"], decomposed, rank=rank, energy=energy)

    def from_source(loss: Loss) -> Learner:
        learner = minimize(loss)

        def init(variables: PyTree) -> TrainState:
            return learner.init(jax.tree.map(jnp.asarray, {**start, "params": params}))

        return Learner(init, learner.update)

    options = config.check_arguments(
        classification,
        classifier or {},
        "task 'low_rank', classifier",
        dict(
            model=kernels.Intercepted(model, factors.two_steps),
            minimize=from_source,
            num_classes=num_classes,
        ),
    )
    return classification(**options)


def _fitting(learnt: PyTree, shapes: PyTree, source: str) -> dict[str, PyTree]:
    """Returns the params and statistics of a run that the model has, too."""
    there = {"params": learnt["params"], **learnt["variables"]}
    found = {name: there.get(name, {}) for name in shapes}
    ours, theirs = trees.flatten(shapes), trees.flatten(found)
    for path in sorted({*ours, *theirs}):
        a, b = (getattr(held.get(path), "shape", None) for held in (ours, theirs))
        if a != b:
            raise ConfigError(
                f"source {source!r} is of another model: {path} is {b} there, {a} here"
            )
    return found
