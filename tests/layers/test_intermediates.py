import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from library.layers.head import linear_head
from library.layers.intermediates import store


class Twice(nn.Module):
    @nn.compact
    def __call__(self, x):
        store(self, "features", x)
        store(self, "features", 2 * x)
        return linear_head(x, 3, kernel_init=nn.initializers.ones)


def test_record_keeps_the_last_array_and_only_when_asked():
    x = jnp.ones((2, 4))
    variables = Twice().init(jax.random.key(0), x)
    assert set(variables) == {"params"}
    _, recorded = Twice().apply(variables, x, mutable=["intermediates"])
    np.testing.assert_array_equal(recorded["intermediates"]["features"], 2 * x)


def test_head_is_computed_in_float32():
    class Head(nn.Module):
        @nn.compact
        def __call__(self, x):
            return linear_head(x, 1, kernel_init=nn.initializers.ones)

    # 1 + 1/512 is not a bfloat16, so the sum shows where rounding happened.
    params = {"head": {"kernel": jnp.array([[1 / 512], [1]]), "bias": jnp.zeros(1)}}
    y = Head().apply({"params": params}, jnp.ones((1, 2), "bfloat16"))
    assert y.dtype == jnp.float32
    assert float(y[0, 0]) == 1 + 1 / 512
