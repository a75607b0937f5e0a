import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.evaluation.context import Context
from library.evaluation.variational_bound import variational_bound
from library.task import Task, TrainState

KEY = jax.random.key(0)
PRIOR, DENOISING, LAST = np.random.default_rng(0).uniform(0, 3, (3, 10)).astype(np.float32)

STATE = TrainState(jnp.zeros((), jnp.int32), {"factor": jnp.float32(2)}, {}, (), None)


def bits(state, batch, key):
    row = batch["row"]
    parts = {"prior": PRIOR, "denoising": DENOISING, "reconstruction": LAST}
    return {name: state.params["factor"] * jnp.asarray(value)[row] for name, value in parts.items()}


def make_context(asked, outputs=None):
    def batches(split, batch_size):
        size = batch_size or 4
        for start in range(0, 10 if split == "test" else 0, size):
            place = np.arange(start, start + size)
            asked.append(start)
            yield {
                "index": jnp.asarray(place, jnp.uint32),
                "row": jnp.asarray(np.where(place < 10, place, 0), jnp.uint32),
                "mask": jnp.asarray(place < 10, jnp.float32),
            }

    def measure(function):
        return lambda state, batch: jax.jit(function)(state, batch, KEY)

    task = Task(None, None, None, {"bits": bits} if outputs is None else outputs)
    return Context(task, batches, measure, None)


@pytest.mark.parametrize(("num", "starts"), [(None, [0, 4, 8]), (5, [0, 4]), (4, [0]), (40, None)])
def test_means_over_so_many_examples(num, starts):
    asked = []
    found = variational_bound(make_context(asked), num_examples=num)(STATE)
    count = min(num or 10, 10)
    parts = {"prior": PRIOR, "denoising": DENOISING, "reconstruction": LAST}
    means = {name: 2 * float(value[:count].mean()) for name, value in parts.items()}
    assert found == pytest.approx({"bits_per_dim": sum(means.values()), **means}, rel=1e-5)
    assert asked == (starts or [0, 4, 8])


def test_bad_requests_name_what_is_valid():
    with pytest.raises(ConfigError, match="needs the output 'bits' of a task; here are sample"):
        variational_bound(make_context([], {"sample": bits}))
    with pytest.raises(ConfigError, match="num_examples=0: valid are 1"):
        variational_bound(make_context([]), num_examples=0)
    with pytest.raises(ValueError, match="split 'empty' has no examples"):
        variational_bound(make_context([]), split="empty")(STATE)
