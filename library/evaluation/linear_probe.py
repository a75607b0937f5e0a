"""Linear probe: the accuracy of a linear classifier on frozen features."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from library.config import ConfigError
from library.evaluation.context import Context, Evaluator
from library.evaluation.frozen_features import Labelled, count_classes, labelled_features
from library.summaries import Summary
from library.task import TrainState


def linear_probe(
    context: Context,
    *,
    l2: float = 1e-4,
    max_iterations: int = 200,
    train: str = "train",
    test: str = "test",
    batch_size: int | None = None,
) -> Evaluator:
    """Fits multinomial logistic regression to the task's "features" of a split, by L-BFGS.

    Each feature is shifted and scaled to mean 0 and variance 1 over the training split. As in
    Kornblith, Shlens & Le 2019 (arXiv 1805.08974, appendix A.4) images are not augmented, so the
    problem is convex and the result does not depend on a learning rate. The results of the SimCLR
    paper (appendix B.6) come from a classifier trained by gradient descent on augmented images.

    Args:
      context: the task, the data and functions to run over it.
      l2: weight of the penalty l2 / 2 |W|^2, without the bias, added to the mean cross-entropy.
      max_iterations: the most iterations of L-BFGS; it ends earlier if the gradient vanishes.
      train: the split to fit.
      test: the split to classify.
      batch_size: examples per batch; `dataset.eval_batch_size` by default.

    Returns:
      `state -> {"accuracy", "train_accuracy"}`.

    Raises:
      ConfigError: `l2` is negative, `max_iterations` is below 1, the task has no features, or, when
        called, examples do not have one label each.
    """
    if not 0 <= l2 < float("inf"):
        raise ConfigError(f"l2={l2}: valid are 0 or more")
    if max_iterations < 1:
        raise ConfigError(f"max_iterations={max_iterations}: valid are 1 or more")
    read = labelled_features(context, batch_size=batch_size)

    def evaluate(state: TrainState) -> Summary:
        fitted, tested = read(state, train), read(state, test)
        if not len(fitted.label) or not len(tested.label):
            return {"accuracy": float("nan"), "train_accuracy": float("nan")}
        mean, deviation = fitted.features.mean(axis=0), fitted.features.std(axis=0)
        scale = np.where(deviation > 1e-6 * np.abs(mean), deviation, np.inf).astype(np.float32)
        fitted, tested = (
            x._replace(features=(x.features - mean) / scale) for x in (fitted, tested)
        )
        num_classes = count_classes(context, fitted.label)
        weights = fit(*fitted, num_classes, l2, max_iterations, context.pause)
        return {
            "accuracy": _accuracy(weights, tested),
            "train_accuracy": _accuracy(weights, fitted),
        }

    return evaluate


def fit(
    features: Float[np.ndarray, "n d"],
    label: Int[np.ndarray, " n"],
    num_classes: int,
    l2: float,
    max_iterations: int,
    pause: Callable[[], None] = lambda: None,
) -> tuple[Float[np.ndarray, "d c"], Float[np.ndarray, " c"]]:
    """Returns the kernel and the bias of the regression; see `Context.pause`."""
    from scipy import optimize

    shape, most = (features.shape[1] + 1, num_classes), 2 * max_iterations
    pauses = iter(range(most))
    features, label = jnp.asarray(features), jnp.asarray(label)

    @jax.jit
    def value_and_slope(flat: Float[Array, " p"]) -> tuple[Array, Array]:
        return jax.value_and_grad(_objective)(flat.reshape(shape), features, label, l2)

    def in_double(flat: np.ndarray) -> tuple[float, np.ndarray]:
        if next(pauses, None) is not None:
            pause()
        value, slope = jax.device_get(value_and_slope(flat.astype(np.float32)))
        return float(value), slope.ravel().astype(np.float64)

    found = optimize.minimize(
        in_double,
        np.zeros(shape).ravel(),
        jac=True,
        method="L-BFGS-B",
        # Float32 cannot represent a smaller decrease of the loss.
        options=dict(maxiter=max_iterations, maxfun=most, ftol=1e-7, gtol=1e-6),
    )
    # Processes on different processors may need different numbers of evaluations.
    for _ in pauses:
        pause()
    whole = found.x.reshape(shape).astype(np.float32)
    return whole[:-1], whole[-1]


def _objective(
    weights: Float[Array, "p c"],
    features: Float[Array, "n d"],
    label: Int[Array, " n"],
    l2: float,
) -> Float[Array, ""]:
    kernel, bias = weights[:-1], weights[-1]
    logits = jnp.matmul(features, kernel, precision="highest") + bias
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, label)
    return jnp.mean(losses) + l2 / 2 * jnp.sum(kernel**2)


def _accuracy(weights: tuple[np.ndarray, np.ndarray], examples: Labelled) -> float:
    kernel, bias = weights
    return float(np.mean(np.argmax(examples.features @ kernel + bias, -1) == examples.label))
