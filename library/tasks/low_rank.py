"""Low-rank compression: each kernel of a trained classifier becomes two factors, which train on.

Denton et al. 2014 (arXiv 1404.0736), Jaderberg et al. 2014 (arXiv 1405.3866) and Zhang et al. 2016
(arXiv 1505.06798) make the factors; fine-tuning brings back the accuracy that they lose (Denton et
al., section 3). `library.compression.low_rank` describes how kernels are factored.
"""

from collections.abc import Callable, Mapping
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
    feature_shapes: Mapping[str, tuple[int, ...]],
    source: str,
    teaching: Callable[[str, str], tuple[Any, Callable[[Any, Array], Array]]],
    rank: int | float | None = None,
    energy: float | None = None,
    scheme: Literal["channel", "spatial"] = "channel",
    kept: tuple[str, ...] = (),
    classifier: dict | None = None,
    inputs: tuple[str, ...] = ("image",),
    kinds: Mapping[str, str] = {},
) -> Task:
    """Builds the task `classification` for a network that starts as a factored finished run.

    Two factors, "kernel_first" and "kernel_second", replace the kernel of each dense layer and
    convolution where they have fewer numbers; the optimizer trains the factors. Metrics and outputs
    are those of `classification`. The source's workdir must exist whenever the task is built.

    Args:
      model: the model of the source, `(image (b, h, w, c), train) -> logits (b, num_classes)`; it
        takes `inputs` in place of the image.
      minimize: turns a loss into the training step.
      num_classes: number of classes of the dataset.
      feature_shapes: shapes of the features of an example.
      source: the workdir of the finished classifier; its running averages are used if it has them.
      teaching: loads the source: (workdir, output) -> its state, and a function.
      rank: the rank of every kernel: a whole number from 1, or a share of its full rank.
      energy: in place of a rank, the share of each kernel's squared singular values that is kept.
      scheme: how convolutions are factored, see `library.compression.low_rank`.
      kept: patterns of kernels that stay whole, such as "head".
      classifier: further arguments of `classification`.
      inputs: the features that the model takes, in order.
      kinds: the kinds of the features.

    Raises:
      ConfigError: there is no such run, it has another model, a rank, energy or pattern is out of
        range, or `classification` refuses its arguments.
    """
    check_outputs(model, num_classes, "num_classes")
    learnt, _ = teaching(source, "logits")
    example = [_like_one(feature_shapes[name], kinds.get(name)) for name in inputs]
    start = _fitting(learnt, jax.eval_shape(model.init, jax.random.key(0), *example), source)
    found = kernels.survey(model, start, *example)
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
            inputs=inputs,
        ),
    )
    return classification(**options)


def _like_one(shape: tuple[int, ...], kind: str | None) -> jax.ShapeDtypeStruct:
    """Returns the shape of a batch of one example of a feature, as the model gets it."""
    whole = kind in ("tokens", "map", "label")
    return jax.ShapeDtypeStruct((1, *shape), jnp.int32 if whole else jnp.float32)


def _fitting(learnt: PyTree, shapes: PyTree, source: str) -> dict[str, PyTree]:
    """Returns those params and statistics of a run that the model has, too.

    Raises:
      ConfigError: their names or shapes differ from the model's.
    """
    there = {"params": learnt["params"], **learnt["variables"]}
    found = {name: there.get(name, {}) for name in shapes}
    ours, theirs = trees.flatten(shapes), trees.flatten(found)
    for path in sorted({*ours, *theirs}):
        a, b = (getattr(held.get(path), "shape", None) for held in (ours, theirs))
        if a != b:
            raise ConfigError(
                f"source {source!r} is of another model: {path} has shape {b} there and {a} here"
            )
    return found
