"""Methods without a network beside one: ridge regression and gradient boosting of scikit-learn."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from jaxtyping import Array, PRNGKeyArray

from library import summaries
from library.config import ConfigError, check_choice
from library.evaluation.context import Context, Evaluator, collected
from library.summaries import Summary
from library.task import Batch, TrainState

METHODS = ("ridge", "gradient_boosting")


def scikit_learn(
    context: Context,
    *,
    method: Literal["ridge", "gradient_boosting"],
    inputs: str = "features",
    train: str = "train",
    split: str = "test",
    batch_size: int | None = None,
) -> Evaluator:
    """Fits a method to the batches of a split, and measures it as the network is measured.

    "ridge" is linear regression on standardized features, with the squared weights as a penalty; a
    class is fitted as 1 against -1 for all others. "gradient_boosting" is 100 trees of depth 3
    (Friedman 2001, "Greedy function approximation: a gradient boosting machine"). Both have the
    defaults of scikit-learn, and are fitted once, at the first evaluation.

    Args:
      context: batches with numbers, and `target` or `label`.
      method: one of METHODS.
      inputs: the feature with the numbers, (b, ...).
      train: the split to fit.
      split: the split to measure.
      batch_size: examples per batch; `dataset.eval_batch_size` by default.

    Returns:
      `state -> {"mse", "rmse", "mae", "r2"}` of targets, as in the task `regression`, or
      `{"accuracy"}` of labels.

    Raises:
      ConfigError: the method is unknown, or the examples lack the feature, or both target and
        label.
    """
    check_choice("method of scikit_learn", method, METHODS)
    check_choice("feature of scikit_learn", inputs, context.features)
    wanted = next((name for name in ("target", "label") if name in context.features), None)
    if wanted is None:
        raise ConfigError(
            f"scikit_learn needs 'target' or 'label'; the examples have {context.features}"
        )

    def read(state: TrainState, batch: Batch, key: PRNGKeyArray) -> dict[str, Array]:
        return {"inputs": batch[inputs], "wanted": batch[wanted], "mask": batch["mask"]}

    compiled, kept = context.collect(read), []

    def examples(state: TrainState, name: str) -> tuple[np.ndarray, np.ndarray]:
        held = collected(compiled, state, context.batches(name, batch_size), name)
        numbers = np.asarray(held["inputs"], np.float64)
        return numbers.reshape(len(numbers), int(np.prod(numbers.shape[1:]))), held["wanted"]

    def evaluate(state: TrainState) -> Summary:
        if not kept:
            fitted, tested = examples(state, train), examples(state, split)
            if not len(fitted[0]) or not len(tested[0]):
                # The rehearsal of a run has no examples.
                return dict.fromkeys(_NAMES[wanted], float("nan"))
            made = estimator(method, wanted)().fit(fitted[0], _column(fitted[1]))
            kept.append(_measured(wanted, made.predict(tested[0]), tested[1]))
        return dict(kept[0])

    return evaluate


_NAMES = {"target": ("mse", "rmse", "mae", "r2"), "label": ("accuracy",)}


def estimator(method: str, wanted: str) -> Callable[[], Any]:
    """Returns a function that makes scikit-learn's estimator of a method for targets or labels."""
    from sklearn import ensemble, linear_model, multioutput, pipeline, preprocessing

    def boosting() -> Any:
        if wanted == "label":
            return ensemble.GradientBoostingClassifier(random_state=0)
        return multioutput.MultiOutputRegressor(ensemble.GradientBoostingRegressor(random_state=0))

    def ridge() -> Any:
        form = linear_model.RidgeClassifier if wanted == "label" else linear_model.Ridge
        return pipeline.make_pipeline(preprocessing.StandardScaler(), form(alpha=1.0))

    return {"ridge": ridge, "gradient_boosting": boosting}[method]


def _column(wanted: np.ndarray) -> np.ndarray:
    return np.asarray(wanted, np.float64) if wanted.ndim == 2 else wanted


def _measured(wanted: str, found: np.ndarray, true: np.ndarray) -> Summary:
    if wanted == "label":
        return {"accuracy": float(np.mean(found == true))}
    true = np.asarray(true, np.float64)
    error = found.reshape(true.shape) - true
    rows = [np.square(error), np.abs(error), true, np.square(true)]
    return summaries.regression(np.stack([row.sum(0) for row in rows]), np.array(len(true)))
