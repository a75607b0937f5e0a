"""Least squares: the last layer of a model in closed form, on features that stay as they are.

Without hidden layers this is linear regression, and the minimum that Adaline approaches. With
random hidden layers it is an extreme learning machine (Huang, Zhu & Siew 2006). See
`library.moments` for the solution.
"""

from collections.abc import Mapping
from typing import Literal

from flax import linen as nn
from jaxtyping import Array, Float

from library import moments
from library.config import check_choice
from library.forward import recorded_outputs
from library.task import Batch, Task
from library.tasks.adaline import adaline, signs
from library.tasks.regression import regression


def least_squares(
    model: nn.Module,
    *,
    num_outputs: int,
    answer: Literal["label", "target"] = "label",
    ridge: float = 1e-4,
    solve_every: int = 1,
    inputs: tuple[str, ...] = ("image",),
    feature_shapes: Mapping[str, tuple[int, ...]] = {},
    total_steps: int | None = None,
    axis_name: str | None = None,
) -> Task:
    """Builds the task of predicting a label or a target by the best linear layer of a model.

    A step adds its batch to sums and solves for the layer "head" of the model; nothing else moves,
    and the recipe has no optimizer. After one epoch the head is that of the whole set, in any order
    and with any batch size; further epochs change nothing but rounding.

    Metrics and outputs are those of `adaline` for a label, and of `regression` for a target.

    Args:
      model: `(image (b, h, w, c), train) -> (b, num_outputs)`; it takes `inputs` in place of the
        image, has a dense layer "head" and stores its input as "features".
      num_outputs: number of classes, or of values to predict.
      answer: "label" for classes, whose targets are 1 and -1, or "target" for real numbers.
      ridge: weight of the squared kernel beside the mean squared error.
      solve_every: steps from one solution to the next; the last step solves in any case.
      inputs: the features that the model takes, in order.
      feature_shapes: shapes of the features of an example.
      total_steps: steps of the whole run.
      axis_name: the device axis to sum over, under `pmap`.

    Raises:
      ConfigError: the ridge or `solve_every` is out of range, the model has no head or another
        number of outputs, or no example has the answer.
    """
    check_choice("answer", answer, ("label", "target"))
    if feature_shapes:
        check_choice("answer", answer, feature_shapes)
    features = recorded_outputs(model, inputs)["features"]

    def targets(batch: Batch) -> Float[Array, "b k"]:
        return signs(batch, num_outputs) if answer == "label" else batch["target"]

    options = dict(ridge=ridge, solve_every=solve_every)
    solved = moments.solved_head(
        features, targets, total_steps=total_steps, axis_name=axis_name, **options
    )
    if answer == "label":
        return adaline(model, solved, num_classes=num_outputs, inputs=inputs)
    return regression(model, solved, num_outputs=num_outputs, inputs=inputs)
