"""The classifier that a run has trained, taken out of its task: pixels in, logits out."""

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
from library.run import recipe
from library.run.session import Trained

# Examples at once.
_SIZE = 16


class Network(NamedTuple):
    """A classifier of images.

    Attributes:
      model: the module that makes the logits.
      variables: its params and statistics.
      normalize: pixels in [0, 1] -> images as the model takes them.
      activate: logits -> probabilities.
      label_names: names of the classes, as many as logits.
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
        """Returns the probabilities of the classes, of pixels in [0, 1]."""
        return self.run(lambda network, x: network.activate(network.logits(x)), pixels)

    def run(self, function: Callable, *arrays: Any) -> np.ndarray:
        """Runs `(network, *arrays)` compiled, some examples at a time; arrays are (n, ...)."""
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
        """Returns the name of a class, short enough to stand beside an image."""
        return notation.printable(self.label_names[number], 12)

    def says(self, probabilities: Float[np.ndarray, " k"]) -> str:
        """Renders an image's most probable class, and how probable it is."""
        top = int(probabilities.argmax())
        return f"{self.name_of(top)} {probabilities[top]:.0%}"


def keys(seed: int, count: int, name: str) -> Key[Array, " n"]:
    """Returns one key an example, of a named use."""
    return rng.per_example(rng.purpose(rng.root(seed), name), jnp.arange(count, dtype=jnp.uint32))


def check(plan: recipe.Plan) -> None:
    """Raises ConfigError unless a run is a classifier of images."""
    outputs = plan.task.outputs
    if "logits" not in outputs or "image" not in plan.loader.blank:
        name, made = plan.recipe.task["name"], ", ".join(sorted(outputs)) or "nothing"
        raise ConfigError(
            f"only classifiers of images are explained: task {name!r} makes no logits of images, "
            f"but {made}"
        )


def network(trained: Trained, *, ema: bool = True) -> Network:
    """Takes the classifier out of a run; test-time augmentation is left out.

    Args:
      trained: the run.
      ema: use the running averages, where the run kept them.

    Raises:
      ConfigError: the run is no classifier of images.
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


def _behind_the_logits(plan: recipe.Plan) -> tuple[nn.Module, int]:
    """Returns the module that a task's logits are made by, and how many there are."""
    applied = []

    def note(call, arguments, options, context):
        applied.append(context.module)
        return call(*arguments, **options)

    def logits(state, batch, key):
        batch = recipe.eval_input(plan, batch, {"resident": {}})
        return plan.task.outputs["logits"](state, batch, key)

    batch = plan.loader.like(1)
    with nn.intercept_methods(note):
        shape = jax.eval_shape(logits, plan.state, batch, jax.eval_shape(lambda: rng.root(0)))
    # The first that is entered holds all others.
    return applied[0].clone(), shape.shape[-1]
