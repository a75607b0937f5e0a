"""The function of one number that a network has learned, drawn over the true one."""

import numpy as np

from library import painting
from library.config import ConfigError, check_choice
from library.evaluation.context import Context, Evaluator, collected
from library.task import TrainState

WIDTH = 256


def curve(
    context: Context,
    *,
    feature: str = "features",
    output: str = "prediction",
    split: str = "test",
    batch_size: int | None = None,
) -> Evaluator:
    """Draws an output by a feature of one number, and the target in another colour.

    The run saves the picture of every evaluation, and the report shows them side by side.

    Args:
      context: the task, the data and functions to run over it.
      feature: the feature, (b, 1).
      output: the task's output, (b, 1).
      split: the part of the dataset.
      batch_size: examples per batch; `dataset.eval_batch_size` by default.

    Returns:
      `state -> {"curve": uint8 (1, h, w, 3), "largest_error"}`, the largest absolute error over the
      split. The target is red, and the output is drawn over it. Without a real example there is no
      picture, and the error is nan.

    Raises:
      ConfigError: the examples have no such feature, the task has no such output, or one of them
        has several numbers.
    """
    check_choice("output of curve", output, context.task.outputs)
    if context.features:
        check_choice("feature of curve", feature, context.features)

    def run(state, batch, key):
        made = context.task.outputs[output](state, batch, key)
        found = {"x": batch[feature], "made": made, "target": batch["target"]}
        for name, values in found.items():
            if values.ndim != 2 or values.shape[1] != 1:
                raise ConfigError(f"curve draws one number by another: {name} is {values.shape}")
        return {**found, "mask": batch["mask"]}

    function = context.collect(run)

    def evaluate(state: TrainState) -> dict[str, float | np.ndarray]:
        found = collected(function, state, context.batches(split, batch_size), split)
        if not len(found["x"]):
            return {"largest_error": float("nan")}
        x, made, target = (found[name][:, 0].astype(float) for name in ("x", "made", "target"))
        order = np.argsort(x, kind="stable")
        x, made, target = x[order], made[order], target[order]
        places = np.linspace(x[0], x[-1], WIDTH)
        curves = np.stack([np.interp(places, x, values) for values in (target, made)])
        room = 0.15 * (target.max() - target.min()) or 1.0
        picture = painting.plotted(curves, target.min() - room, target.max() + room)
        return {"curve": picture[None], "largest_error": float(np.abs(made - target).max())}

    return evaluate
