"""Classification by a linear readout of fixed features, solved in closed form: ridge regression.

The readout W minimizes sum |W f - y|^2 + ridge |W|^2 over all examples seen, where f are the
features and a 1, and y is 1 for the class and 0 for others (Hoerl & Kennard 1970; Jaeger 2001).
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, PRNGKeyArray

from library.config import ConfigError
from library.finite import nan_unless
from library.forward import initialized
from library.task import Batch, Metrics, Task, TrainState, pair, where_present


def echo_state(
    model: nn.Module,
    *,
    num_classes: int,
    ridge: float = 1.0,
    inputs: tuple[str, ...] = ("audio", "audio_mask"),
    axis_name: str | None = None,
) -> Task:
    """Builds the task of predicting `batch["label"]` from the features of a fixed network.

    A step adds the batch to the moments `gram` (f + 1, f + 1) and `cross` (f + 1, c), and solves
    for the readout. After one epoch the readout is that of the whole set, in any order and with any
    batch size. Each further epoch counts the examples again, as a weaker ridge would.

    The metrics of training and evaluation are loss, the mean squared error, and accuracy; those of
    training are of the new readout on its own batch.

    Outputs: "logits" (b, c); "features" (b, f).

    Args:
      model: `(*inputs, train) -> features (b, f)`.
      num_classes: number of classes.
      ridge: weight of the squared readout.
      inputs: the features that the model takes, in order.
      axis_name: the device axis to sum over, under `pmap`.

    Raises:
      ConfigError: the ridge is not above 0.
    """
    if not ridge > 0:
        raise ConfigError(f"ridge={ridge}: it must be above 0")

    def found(params: dict, batch: Batch) -> Float[Array, "b f"]:
        given = (batch[name] for name in inputs)
        return model.apply({"params": params["reservoir"]}, *given, train=False)

    def init(key: PRNGKeyArray, batch: Batch) -> TrainState:
        reservoir = initialized(model, key, batch, inputs)["params"]
        width = found({"reservoir": reservoir}, batch).shape[-1] + 1
        params = {"reservoir": reservoir, "readout": jnp.zeros((width, num_classes))}
        moments = {"gram": jnp.zeros((width, width)), "cross": jnp.zeros((width, num_classes))}
        return TrainState(jnp.zeros((), jnp.int32), params, {"moments": moments}, (), None)

    def measured(scores: Float[Array, "b c"], batch: Batch) -> Metrics:
        error = jnp.sum(jnp.square(scores - _targets(batch, num_classes)), axis=-1)
        # A number outside the classes must show as a NaN loss.
        known = (batch["label"] >= 0) & (batch["label"] < num_classes)
        right = jnp.argmax(scores, axis=-1) == batch["label"]
        error = nan_unless(known, error)
        return {"loss": pair(error, batch["mask"]), "accuracy": pair(right, batch["mask"])}

    def update(state: TrainState, batch: Batch, key: PRNGKeyArray) -> tuple[TrainState, Metrics]:
        x = where_present(_with_one(found(state.params, batch)), batch["mask"])
        y = where_present(_targets(batch, num_classes), batch["mask"])
        more = {"gram": _product(x, x), "cross": _product(x, y)}
        if axis_name is not None:
            more = jax.lax.psum(more, axis_name)
        moments = jax.tree.map(jnp.add, state.variables["moments"], more)
        regular = moments["gram"] + ridge * jnp.eye(x.shape[-1])
        readout = jax.scipy.linalg.solve(regular, moments["cross"], assume_a="pos")
        metrics = measured(jnp.matmul(x, readout, precision="highest"), batch)
        if axis_name is not None:
            metrics = jax.lax.psum(metrics, axis_name)
        moved = state.replace(
            step=state.step + 1,
            params={**state.params, "readout": readout},
            variables={"moments": moments},
        )
        return moved, metrics

    def features(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b f"]:
        return found(state.params, batch)

    def logits(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Float[Array, "b c"]:
        x = _with_one(found(state.params, batch))
        return jnp.matmul(x, state.params["readout"], precision="highest")

    def evaluate(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        return measured(logits(state, batch, key), batch)

    return Task(init, update, evaluate, {"logits": logits, "features": features})


def _with_one(x: Float[Array, "b f"]) -> Float[Array, "b g"]:
    return jnp.pad(x, ((0, 0), (0, 1)), constant_values=1.0)


def _targets(batch: Batch, num_classes: int) -> Float[Array, "b c"]:
    return jax.nn.one_hot(batch["label"], num_classes)


def _product(x: Float[Array, "b f"], y: Float[Array, "b c"]) -> Float[Array, "f c"]:
    return jnp.matmul(x.T, y, precision="highest")
