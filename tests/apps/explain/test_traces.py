import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.apps.explain import traces
from library.config import ConfigError

X = jnp.array([-1.5, 0.0, 2.0, 3.0])


def nested(x):
    """Rectifies at the top, within a function and within a part that is computed again."""
    y = jax.nn.relu(x) * x + jax.nn.softplus(x)
    y = y + jax.jit(lambda z: jax.nn.relu(z - 1))(x)
    return jnp.cumsum(jax.checkpoint(lambda z: jax.nn.relu(-z))(y)), y.at[1].set(7)


def test_evaluated_as_it_was_traced():
    jaxpr = jax.make_jaxpr(nested)(X)
    for found, expected in zip(traces.evaluate(jaxpr, [X]), nested(X), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_custom_derivatives_are_kept():
    def safe(x):
        return jax.nn.silu(x) + jax.nn.relu6(x) + jax.nn.logsumexp(x)

    jaxpr = jax.make_jaxpr(safe)(X)
    found = jax.jit(jax.grad(lambda x: traces.evaluate(jaxpr, [x])[0].sum()))(X)
    np.testing.assert_allclose(found, jax.grad(lambda x: safe(x).sum())(X), rtol=1e-6)


def test_calls_are_replaced_wherever_they_are():
    jaxpr = jax.make_jaxpr(nested)(X)
    assert traces.count_calls(jaxpr.jaxpr, "relu") == 3
    x = np.float64(X)
    y = 10 * x * x + np.log1p(np.exp(x)) + 10 * (x - 1)
    first, second = traces.evaluate(jaxpr, [X], calls={"relu": lambda z: 10 * z})
    np.testing.assert_allclose(first, np.cumsum(-10 * y), rtol=1e-6)
    np.testing.assert_allclose(second[2:], y[2:], rtol=1e-6)


def test_a_call_in_a_loop_is_refused():
    def looping(x):
        return jax.lax.fori_loop(0, 2, lambda _, y: jax.nn.relu(y), x)

    jaxpr = jax.make_jaxpr(looping)(X)
    np.testing.assert_array_equal(traces.evaluate(jaxpr, [X])[0], looping(X))
    with pytest.raises(ConfigError, match=r"relu is called within (scan|while)"):
        traces.evaluate(jaxpr, [X], calls={"relu": lambda z: z})


def test_a_variable_takes_another_value():
    jaxpr = jax.make_jaxpr(lambda x: (x * x) + x)(X)
    square = jaxpr.jaxpr.eqns[0].outvars[0]
    (found,) = traces.evaluate(jaxpr, [X], values={square: jnp.full(4, 100.0)})
    np.testing.assert_array_equal(found, 100 + X)
