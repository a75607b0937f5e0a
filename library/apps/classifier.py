"""The classifier of a run without its task: a function from pixels to logits."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from library import rng, task, trees
from library.config import ConfigError, class_number
from library.reporting import notation
from library.run.inputs import eval_input
from library.run.plan import Plan
from library.run.session import Trained

# Examples per batch.
_SIZE = 16


class Network(NamedTuple):
    """A classifier of images.

    Attributes:
      model: the module that returns the logits.
      variables: params and statistics of the model.
      normalize: maps pixels in [0, 1] to normalized images, which the model takes.
      activate: maps logits to probabilities.
      label_names: names of the classes, one per logit.
    """

    model: nn.Module
    variables: Any
    normalize: Callable[[Array], Array]
    activate: Callable[[Array], Array]
    label_names: tuple[str, ...]

    def logits(self, pixels: Float[Array, "b h w c"]) -> Float[Array, "b k"]:
        """Returns the logits of pixels in [0, 1]."""
        return self.model.apply(self.variables, self.normalize(pixels), train=False)

    def probabilities(self, pixels: Float[np.ndarray, "n h w c"]) -> Float[np.ndarray, "n k"]:
        """Returns the class probabilities of images in [0, 1]."""
        return self.run(lambda network, x: network.activate(network.logits(x)), pixels)

    def run(self, function: Callable, *arrays: Any) -> np.ndarray:
        """Runs `function(network, *arrays)` compiled, in batches; arrays are (n, ...)."""
        compiled = jax.jit(lambda variables, *x: function(self._replace(variables=variables), *x))
        count = len(arrays[0])
        parts = trees.parts([jnp.asarray(x) for x in arrays], min(_SIZE, count))
        found = [np.asarray(compiled(self.variables, *part)) for part in parts]
        return np.concatenate(found)[:count]

    def class_of(self, text: str) -> int:
        """Returns the number of a class that is given by number or name.

        Raises:
          ConfigError: there is no such class.
        """
        return class_number(text, self.label_names, f"no class {text!r}")

    def name_of(self, number: int | np.integer) -> str:
        """Returns the name of a class, shortened to fit beside an image."""
        return notation.printable(self.label_names[number], 12)

    def says(self, probabilities: Float[np.ndarray, " k"]) -> str:
        """Renders an image's most probable class and its probability."""
        top = int(probabilities.argmax())
        return f"{self.name_of(top)} {probabilities[top]:.0%}"


def keys(seed: int, count: int, name: str) -> Key[Array, " n"]:
    """Returns one key per example, for the use of this name."""
    return rng.per_example(rng.purpose(rng.root(seed), name), jnp.arange(count, dtype=jnp.uint32))


def check(plan: Plan) -> None:
    """Raises ConfigError unless a run is a classifier of images."""
    outputs = plan.task.outputs
    if "logits" not in outputs or "image" not in plan.loader.blank:
        name, made = plan.recipe.task["name"], ", ".join(sorted(outputs)) or "nothing"
        raise ConfigError(
            f"only classifiers of images are explained: task {name!r} makes no logits of images, "
            f"but {made}"
        )


def network(trained: Trained, *, ema: bool = True) -> Network:
    """Returns the classifier of a run, without test-time augmentation.

    Args:
      trained: the run.
      ema: whether to use the running averages if the run has them.

    Raises:
      ConfigError: the run is not a classifier of images.
    """
    plan = trained.plan
    check(plan)
    state = jax.device_get(task.learnt(trained.state, averages=ema))
    model, count = _behind_the_logits(plan)
    named = plan.label_names is not None and len(plan.label_names) == count
    return Network(
        model=model,
        variables={"params": state.params, **state.variables},
        normalize=lambda pixels: plan.normalize({"image": pixels})["image"],
        activate=jax.nn.sigmoid if plan.recipe.task.get("loss") == "sigmoid" else jax.nn.softmax,
        label_names=tuple(plan.label_names if named else map(str, range(count))),
    )


def _behind_the_logits(plan: Plan) -> tuple[nn.Module, int]:
    """Returns the module that computes a task's logits, and the number of logits."""
    applied = []

    def note(call, arguments, options, context):
        applied.append(context.module)
        return call(*arguments, **options)

    def logits(state, batch, key):
        batch = eval_input(plan, batch, {"resident": {}})
        return plan.task.outputs["logits"](state, batch, key)

    batch = plan.loader.like(1)
    with nn.intercept_methods(note):
        shape = jax.eval_shape(logits, plan.state, batch, jax.eval_shape(lambda: rng.root(0)))
    # The first module that is called contains all others.
    return applied[0].clone(), shape.shape[-1]
