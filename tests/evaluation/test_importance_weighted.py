import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp

from library import config, rng
from library.config import ConfigError
from library.evaluation.context import Context
from library.evaluation.importance_weighted import importance_weighted
from library.task import Task, TrainState

STATE = TrainState(jnp.int32(0), {}, {}, (), None)
KEY = jax.random.key(5)
SPREAD = 4.0


def log_weights(state, batch, key):
    """Weights log-normal about the image's value, far enough from 0 to overflow exp."""
    keys = rng.per_example(key, batch["index"])
    noise = jax.vmap(lambda one: jax.random.normal(one))(keys)
    return batch["image"] + SPREAD * noise


def make_context(values, mask, size=4, output=log_weights):
    def batches(split, batch_size):
        step = batch_size or size
        for start in range(0, len(values), step):
            rows = np.arange(start, start + step)
            real = rows < len(values)
            rows = np.minimum(rows, len(values) - 1)
            yield {
                "image": jnp.float32(values[rows]),
                "index": jnp.arange(start, start + step, dtype=jnp.uint32),
                "mask": jnp.float32(mask[rows] * real),
            }

    def measure(function):
        compiled = jax.jit(function)
        return lambda state, batch: compiled(state, batch, KEY)

    return Context(Task(None, None, None, {"log_weights": output}), batches, measure, measure)


def all_weights(values, k):
    key = rng.purpose(KEY, "importance")
    batch = {
        "image": jnp.float32(values),
        "index": jnp.arange(len(values), dtype=jnp.uint32),
    }
    draws = [log_weights(STATE, batch, jax.random.fold_in(key, i)) for i in range(k)]
    return np.asarray(jnp.stack(draws), np.float64)


@pytest.mark.parametrize(("k", "chunk"), [(1, 50), (12, 12), (12, 1), (12, 4)])
def test_the_streamed_sum_is_that_of_all_weights(k, chunk):
    values = np.linspace(-900, 900, 7)
    mask = np.array([1, 1, 0, 1, 1, 1, 1.0])
    found = importance_weighted(make_context(values, mask), k=k, chunk=chunk)(STATE)
    weights = all_weights(values, k)
    estimate = logsumexp(weights, axis=0) - np.log(k)
    assert found["nll"] == pytest.approx(-(mask @ estimate) / mask.sum(), rel=1e-5, abs=1e-4)
    elbo = mask @ weights.mean(0) / mask.sum()
    assert found["elbo"] == pytest.approx(elbo, rel=1e-5, abs=1e-4)
    assert found["elbo"] <= -found["nll"] + 1e-4


def test_equal_weights_give_their_value_whatever_k():
    # What the exact posterior of a linear-Gaussian model gives: every weight is p(x).
    values = np.array([-88.0, -90.5, -86.25])
    context = make_context(values, np.ones(3), output=lambda s, batch, key: batch["image"])
    for k in (1, 8, 100):
        found = importance_weighted(context, k=k, chunk=k)(STATE)
        assert found["nll"] == pytest.approx(-values.mean(), rel=1e-6)
        assert found["elbo"] == pytest.approx(values.mean(), rel=1e-6)


def test_more_draws_bound_more_tightly():
    # log E[w] of a log-normal weight is its mean plus half its variance.
    values = np.zeros(64)
    exact = SPREAD**2 / 2
    found = [
        -importance_weighted(make_context(values, np.ones(64), size=64), k=k, chunk=k)(STATE)["nll"]
        for k in (1, 10, 1000)
    ]
    assert found == sorted(found)
    assert found[-1] <= exact


@pytest.mark.parametrize(("limit", "expected"), [(5, 2.0), (4, 1.5), (100, 3.0)])
def test_the_first_examples_only(limit, expected):
    seen = []

    def output(state, batch, key):
        return batch["image"]

    context = make_context(np.arange(7.0), np.ones(7), output=output)
    batches = context.batches

    def counted(split, batch_size):
        for batch in batches(split, batch_size):
            seen.append(len(batch["mask"]))
            yield batch

    context = context._replace(batches=counted)
    found = importance_weighted(context, k=2, num_examples=limit)(STATE)
    assert found["nll"] == pytest.approx(-expected)
    assert sum(seen) == (4 if limit <= 4 else 8)


def test_an_empty_split_is_an_error():
    with pytest.raises(ValueError, match="split 'test' has no examples"):
        importance_weighted(make_context(np.zeros(0), np.zeros(0)), k=2)(STATE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(k=0), "k=0: valid are 1 and more"),
        (dict(k=10, chunk=0), "chunk=0"),
        (dict(k=100, chunk=30), "chunk=30 does not divide k=100: 25 does"),
        (dict(k=10, num_examples=-1), "num_examples"),
        (dict(k=10, num_examples=0), "num_examples=0: sizes and counts are 1 or more"),
    ],
)
def test_counts_that_do_not_fit(arguments, message):
    spec = dict(name="importance_weighted", **arguments)
    context = make_context(np.zeros(4), np.ones(4))
    with pytest.raises(ConfigError, match=message):
        config.build(spec, "library.evaluation", "evaluator", context=context)


def test_a_task_without_log_weights():
    context = make_context(np.zeros(4), np.ones(4))
    context = context._replace(task=Task(None, None, None, {"log_weight": None}))
    with pytest.raises(ConfigError, match="did you mean 'log_weight'"):
        importance_weighted(context)
