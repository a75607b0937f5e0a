"""Imputation: a denoising autoencoder fills in what is missing in a table.

Vincent et al. 2008, "Extracting and composing robust features with denoising autoencoders", hide
inputs from an autoencoder that has to restore them; Gondara & Wang 2018, "MIDA: Multiple imputation
using denoising autoencoders" (arXiv 1705.02737), use it for missing values. The codes are features
of the rows, and may cluster better than the rows themselves.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from library import rng
from library.config import ConfigError
from library.forward import applied, variables_of
from library.task import Batch, Learner, Loss, Metrics, Task, TrainState, pair


def imputation(
    model: nn.Module,
    minimize: Callable[[Loss], Learner],
    *,
    feature: str = "features",
    hidden: float = 0.2,
    code: str = "features",
) -> Task:
    """Builds the task of predicting the hidden values of a row from the others.

    Missing values are NaN, and they are neither inputs nor targets. The model gets the row with 0
    for what it does not see, and beside it 1 for each value that it sees and 0 for others. Values
    should be standardized, so that 0 is the mean.

    A step hides each known value with a probability, anew each time, and an evaluation hides values
    that follow from its own key and the row. The metrics are squared_error, over the hidden values,
    and mean_error, the squared error there of 0, the mean: what filling in the mean would give. The
    loss is the squared error over all known values, hidden or not.

    Outputs: "imputed" (b, d), the row with predictions where it has NaN; "prediction" (b, d), the
    model's values everywhere, without hiding any; "features" (b, k), the code of a row; "values"
    (b, d), the row with 0 where it has NaN.

    Args:
      model: `(x (b, 2 d), train) -> (b, d)`, such as an `mlp` with num_classes=d.
      minimize: turns a loss into the training step.
      feature: the feature with the row, (b, d).
      hidden: probability of hiding a known value.
      code: the name under which the model stores the code, "stage2" for the second hidden layer.

    Raises:
      ConfigError: the probability is not between 0 and 1, or the model stores no such code.
    """
    if not 0 < hidden < 1:
        raise ConfigError(f"hidden={hidden}: valid are probabilities between 0 and 1")

    def init(key: PRNGKeyArray, batch: Batch) -> TrainState:
        x = batch[feature]
        seen = _inputs(x, ~jnp.isnan(x))
        return learner.init(model.init(rng.purpose(key, "params"), seen, train=False))

    def measured(
        found: Float[Array, "b e"], x: Float[Array, "b d"], hid: Bool[Array, "b d"], batch: Batch
    ) -> Metrics:
        known = ~jnp.isnan(x)
        if found.shape != x.shape:
            raise ConfigError(
                f"the model predicts {found.shape[1]} values of a row of {x.shape[1]}: set "
                f"model.num_classes={x.shape[1]}"
            )
        squares = jnp.where(known, jnp.square(found - jnp.where(known, x, 0)), 0)
        each, mask = jnp.sum(squares, axis=1), batch["mask"]
        of_mean = jnp.sum(jnp.where(hid, jnp.square(x), 0), axis=1)
        count = pair(jnp.sum(hid, axis=1), mask)[0]
        return {
            "loss": (pair(each, mask)[0], pair(jnp.sum(known, axis=1), mask)[0]),
            "squared_error": (pair(jnp.sum(jnp.where(hid, squares, 0), axis=1), mask)[0], count),
            "mean_error": (pair(of_mean, mask)[0], count),
        }

    def hides(x: Float[Array, "b d"], keys: Array) -> Bool[Array, "b d"]:
        drawn = jax.vmap(lambda key: jax.random.bernoulli(key, hidden, x.shape[1:]))(keys)
        return drawn & ~jnp.isnan(x)

    def objective(
        params: PyTree, variables: PyTree, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Metrics, PyTree]:
        x = batch[feature]
        hid = hides(x, rng.per_example(rng.purpose(key, "hidden"), batch["index"]))
        given = [_inputs(x, ~jnp.isnan(x) & ~hid)]
        found, moved = applied(model, params, variables, given, key, batch["index"])
        return measured(found, x, hid, batch), moved

    def evaluate(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        x = batch[feature]
        hid = hides(x, rng.per_example(rng.purpose(key, "hidden"), batch["row"]))
        found = model.apply(variables_of(state), _inputs(x, ~jnp.isnan(x) & ~hid), train=False)
        return measured(found, x, hid, batch)

    def prediction(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b d"]:
        x = batch[feature]
        return model.apply(variables_of(state), _inputs(x, ~jnp.isnan(x)), train=False)

    def imputed(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b d"]:
        x = batch[feature]
        return jnp.where(jnp.isnan(x), prediction(state, batch, key), x)

    def features(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b k"]:
        x = batch[feature]
        seen = _inputs(x, ~jnp.isnan(x))
        _, recorded = model.apply(variables_of(state), seen, train=False, mutable=["intermediates"])
        recorded = recorded.get("intermediates", {})
        if code not in recorded:
            raise ConfigError(f"code={code!r}: the model stores {', '.join(recorded) or 'nothing'}")
        return recorded[code]

    def values(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b d"]:
        return jnp.nan_to_num(batch[feature])

    learner = minimize(objective)
    outputs = {"imputed": imputed, "prediction": prediction, "features": features, "values": values}
    return Task(init, learner.update, evaluate, outputs)


def _inputs(x: Float[Array, "b d"], seen: Bool[Array, "b d"]) -> Float[Array, "b e"]:
    return jnp.concatenate([jnp.where(seen, x, 0), seen.astype(x.dtype)], axis=1)
