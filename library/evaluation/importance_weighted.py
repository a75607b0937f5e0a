"""The likelihood of a latent-variable model, estimated by importance sampling."""

from collections.abc import Callable, Iterable, Iterator

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from library import rng
from library.config import ConfigError, nearest
from library.evaluation.context import Context, Evaluator
from library.evaluation.totals import total
from library.summaries import Summary, summarize
from library.task import Batch, Metrics, TrainState, pair


def importance_weighted(
    context: Context,
    *,
    k: int = 5000,
    chunk: int = 50,
    num_examples: int | None = None,
    split: str = "test",
    batch_size: int | None = None,
) -> Evaluator:
    """Estimates the negative log-likelihood of a latent-variable model by importance sampling.

    The estimate is -log 1/k sum_i w_i, where w_i = p(x, z_i) / q(z_i | x) and z_i is drawn from
    q(z | x). Its expectation bounds the negative log-likelihood from above. The bound is tighter
    for larger k, and exact in the limit (Burda et al. 2016, "Importance Weighted Autoencoders",
    eq. 8 and theorem 1). The task's output "log_weights" gives the weights, drawn for each example
    by its index. A running maximum and a sum relative to it accumulate the weights, so the memory
    is that of `chunk` images per example.

    Args:
      context: the task, the data and functions to run over it.
      k: draws per example; 5000 in the paper.
      chunk: draws at a time; it divides k.
      num_examples: number of examples from the start of the split; all by default.
      split: the split to evaluate.
      batch_size: examples per batch; `dataset.eval_batch_size` by default.

    Returns:
      `state -> {"nll", "elbo"}` in nats per example; elbo is the mean of log w_i. The function
      raises ValueError if the split is empty.

    Raises:
      ConfigError: a count is below 1, `chunk` does not divide k, or the task has no output
        "log_weights".
    """
    if "log_weights" not in context.task.outputs:
        found = nearest("log_weights", context.task.outputs)
        raise ConfigError(f"the task has no output 'log_weights': {found}")
    for name, value in (("k", k), ("chunk", chunk), ("num_examples", num_examples)):
        if value is not None and value < 1:
            raise ConfigError(f"{name}={value}: valid are 1 and more")
    chunk = min(chunk, k)
    if k % chunk:
        fitting = [n for n in range(1, k + 1) if k % n == 0]
        closest = min(fitting, key=lambda n: abs(n - chunk))
        raise ConfigError(f"chunk={chunk} does not divide k={k}: {closest} does")

    def bounds(state: TrainState, batch: Batch, key: PRNGKeyArray) -> Metrics:
        def weights(one: PRNGKeyArray) -> Float[Array, " b"]:
            return context.task.outputs["log_weights"](state, batch, one)

        mask = batch["mask"]
        if num_examples is not None:
            mask = mask * (batch["index"] < num_examples)
        log_mean, mean_log = _streamed(weights, rng.purpose(key, "importance"), k, chunk, len(mask))
        return {"nll": pair(-log_mean, mask), "elbo": pair(mean_log, mask)}

    measured = context.measure(bounds)

    def evaluate(state: TrainState) -> Summary:
        batches = _first(context.batches(split, batch_size), num_examples)
        return summarize(total(measured, state, batches, split))

    return evaluate


def _first(batches: Iterable[Batch], num_examples: int | None) -> Iterator[Batch]:
    """Yields batches until they hold `num_examples` examples, or all batches for None."""
    seen = 0
    for batch in batches:
        yield batch
        seen += len(batch["mask"])
        if num_examples is not None and seen >= num_examples:
            break


def _streamed(
    log_weights: Callable[[PRNGKeyArray], Array], key: PRNGKeyArray, k: int, chunk: int, size: int
) -> tuple[Float[Array, " b"], Float[Array, " b"]]:
    """Returns log mean exp and mean of k log weights, computed `chunk` at a time."""

    def add(carry: tuple[Array, Array, Array], start: Array) -> tuple[tuple, None]:
        highest, relative, total = carry
        draws = start + jnp.arange(chunk)
        some = jax.vmap(lambda draw: log_weights(jax.random.fold_in(key, draw)))(draws)
        new = jnp.maximum(highest, jnp.max(some, axis=0))
        relative = relative * jnp.exp(highest - new) + jnp.sum(jnp.exp(some - new), axis=0)
        return (new, relative, total + jnp.sum(some, axis=0)), None

    start = jnp.full(size, -jnp.inf), jnp.zeros(size), jnp.zeros(size)
    (highest, relative, total), _ = jax.lax.scan(add, start, jnp.arange(0, k, chunk))
    return highest + jnp.log(relative / k), total / k
