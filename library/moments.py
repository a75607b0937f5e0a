"""Moments of features and targets, summed over batches, and what follows from them in closed form.

The sums do not depend on the order of examples, on the size of batches or on the number of devices,
apart from rounding. A linear layer with the least squared error (Gauss 1809; with a ridge, Hoerl &
Kennard 1970) and principal components (Pearson 1901) need nothing else.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from library.config import ConfigError
from library.task import Batch, Learner, Loss, Metrics, TrainState, where_present, without_padding

Moments = dict[str, Array]


def zeros(width: int, outputs: int = 0) -> Moments:
    """Returns the moments of no example, see `of`; without outputs there is no `cross`."""
    gram = {"gram": jnp.zeros((width + 1, width + 1))}
    return {**gram, "cross": jnp.zeros((width + 1, outputs))} if outputs else gram


def of(
    features: Float[Array, "b f"],
    targets: Float[Array, "b k"] | None,
    mask: Float[Array, " b"],
    axis_name: str | None = None,
) -> Moments:
    """Returns the moments of a batch; those of several batches add up.

    Args:
      features: features; examples whose mask is 0 may hold anything.
      targets: targets, or None; then there is no `cross`.
      mask: 1 for examples, 0 for padding.
      axis_name: the device axis to sum over, under `pmap`.

    Returns:
      `gram` (f + 1, f + 1), the sum of x x^T, and `cross` (f + 1, k), the sum of x y^T, where x are
      the features and a 1. So the last row of `gram` has the sums of the features, and its last
      entry the number of examples.
    """
    x = jnp.pad(features.astype(jnp.float32), ((0, 0), (0, 1)), constant_values=1.0)
    x = where_present(x, mask)
    found = {"gram": jnp.matmul(x.T, x, precision="highest")}
    if targets is not None:
        y = where_present(targets.astype(jnp.float32), mask)
        found["cross"] = jnp.matmul(x.T, y, precision="highest")
    return found if axis_name is None else jax.lax.psum(found, axis_name)


def linear_layer(moments: Moments, ridge: float) -> dict[str, Array]:
    """Returns the `kernel` (f, k) and the `bias` (k,) with the least penalized squared error.

    They minimize the mean over examples of |kernel^T x + bias - y|^2, plus ridge |kernel|^2. As the
    ridge is beside a mean, examples that are counted twice change nothing.

    Args:
      moments: moments of one example or more.
      ridge: weight of the squared kernel, above 0.
    """
    gram, cross = moments["gram"], moments["cross"]
    count = jnp.maximum(gram[-1, -1], 1.0)
    penalty = jnp.full(len(gram), ridge).at[-1].set(jnp.where(gram[-1, -1] > 0, 0.0, 1.0))
    found = jax.scipy.linalg.solve(gram / count + jnp.diag(penalty), cross / count, assume_a="pos")
    return {"kernel": found[:-1], "bias": found[-1]}


def principal_components(moments: Moments, count: int) -> dict[str, Array]:
    """Returns the `mean` (f,) of the features, their first components and their variances.

    Args:
      moments: moments of one example or more.
      count: number of components, at most f.

    Returns:
      `mean` (f,); `components` (count, f), orthonormal rows, the one with the largest variance
      first, each with a positive largest entry; and `variances` (f,) of all, in the same order.
    """
    gram = moments["gram"] / jnp.maximum(moments["gram"][-1, -1], 1.0)
    mean = gram[-1, :-1]
    variances, vectors = jnp.linalg.eigh(gram[:-1, :-1] - jnp.outer(mean, mean))
    components = vectors.T[::-1][:count]
    largest = jnp.take_along_axis(components, jnp.argmax(abs(components), axis=1)[:, None], axis=1)
    signs = jnp.where(largest < 0, -1.0, 1.0)
    return {"mean": mean, "components": components * signs, "variances": variances[::-1]}


def solved(
    seen: Callable[[TrainState, Batch, PRNGKeyArray], tuple[Array, Array | None]],
    start: Callable[[PyTree], Moments],
    solve: Callable[[Moments, PyTree], PyTree],
    *,
    solve_every: int = 1,
    total_steps: int | None = None,
    axis_name: str | None = None,
) -> Callable[..., Learner]:
    """Returns a training method in place of `minimize`: it solves for params in closed form.

    A step adds its batch to the moments, and solves if that is due. The metrics of a step are those
    of the loss, after the step, on its own batch.

    Args:
      seen: `(state, batch, key) -> (features (b, f), targets (b, k) or None)`, which must not
        depend on what is solved for.
      start: `variables -> moments` of no example; it checks the model, too.
      solve: `(moments, variables) -> variables`, params included.
      solve_every: steps from one solution to the next; the last step of the run solves in any case.
      total_steps: the steps of the run; None where each step solves.
      axis_name: the device axis to sum over, under `pmap`.

    Raises:
      ConfigError: `solve_every` is below 1.
    """
    if solve_every < 1:
        raise ConfigError(f"solve_every={solve_every}: valid are 1 step or more")

    def init(variables: PyTree) -> TrainState:
        rest = {name: held for name, held in variables.items() if name != "params"}
        rest["moments"] = start(variables)
        return TrainState(jnp.zeros((), jnp.int32), variables["params"], rest, (), None)

    def learner(loss: Loss, **options: Any) -> Learner:
        def update(
            state: TrainState, batch: Batch, key: PRNGKeyArray
        ) -> tuple[TrainState, Metrics]:
            batch = without_padding(batch)
            more = of(*seen(state, batch, key), batch["mask"], axis_name)
            moments = jax.tree.map(jnp.add, state.variables["moments"], more)
            rest = {k: v for k, v in state.variables.items() if k != "moments"}
            step = state.step + 1
            due = (step % solve_every == 0) | (step == total_steps)
            before = {"params": state.params, **rest}
            after = jax.lax.cond(due, lambda: solve(moments, before), lambda: before)
            params, rest = after["params"], {k: v for k, v in after.items() if k != "params"}
            metrics, _ = loss(params, rest, batch, key)
            if axis_name is not None:
                metrics = jax.lax.psum(metrics, axis_name)
            variables = {**rest, "moments": moments}
            return state.replace(step=step, params=params, variables=variables), metrics

        return Learner(init, update)

    return learner


def solved_head(
    features: Callable[[TrainState, Batch, PRNGKeyArray], Float[Array, "b f"]],
    targets: Callable[[Batch], Float[Array, "b k"]],
    *,
    ridge: float,
    **options: Any,
) -> Callable[..., Learner]:
    """Returns a training method that solves for the layer "head" of a model, see `linear_layer`.

    The other params stay as they are: the model has fixed features. After one epoch and more the
    head is the best one for the whole set. A solution takes time in f^3.

    Args:
      features: `(state, batch, key) -> (b, f)`, the input of the head.
      targets: what the head shall return.
      ridge: weight of the squared kernel, above 0.
      **options: when to solve, see `solved`.

    Raises:
      ConfigError: the ridge is not above 0, an error of `solved`, or, from `init`, the model has no
        head.
    """
    if not 0 < ridge < float("inf"):
        raise ConfigError(f"ridge={ridge}: valid are finite numbers above 0")

    def seen(state: TrainState, batch: Batch, key: PRNGKeyArray) -> tuple[Array, Array]:
        return features(state, batch, key), targets(batch)

    def start(variables: PyTree) -> Moments:
        return zeros(*head_of(variables["params"])["kernel"].shape)

    def solve(moments: Moments, variables: PyTree) -> PyTree:
        params = {**variables["params"], "head": linear_layer(moments, ridge)}
        return {**variables, "params": params}

    return solved(seen, start, solve, **options)


def head_of(params: PyTree) -> dict[str, Array]:
    """Returns the dense layer "head" of a model's params: its kernel (f, k) and bias (k,).

    Raises:
      ConfigError: the model has no such layer.
    """
    head = dict(params.get("head", {}))
    if set(head) != {"kernel", "bias"} or head["kernel"].ndim != 2:
        raise ConfigError(
            "this task learns the dense layer 'head' of a model, with a kernel and a bias; the "
            f"model has the layers {', '.join(params)}"
        )
    return head
