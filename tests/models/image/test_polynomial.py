import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.preprocessing import PolynomialFeatures

from library.config import ConfigError
from library.models.image.polynomial import Polynomial, _monomials

X = np.random.default_rng(0).normal(size=(5, 3))


def test_monomials_are_those_of_scikit_learn():
    expected = PolynomialFeatures(3, include_bias=False).fit_transform(X)
    found = jax.jit(_monomials, static_argnums=1)(jnp.float32(X), 3)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_the_head_reads_them():
    model = Polynomial(num_classes=2, degree=2)
    params = jax.eval_shape(model.init, jax.random.key(0), jnp.float32(X))["params"]
    assert params["head"]["kernel"].shape == (9, 2)
    kernel = np.random.default_rng(1).normal(size=(9, 2))
    params = {"head": {"kernel": jnp.float32(kernel), "bias": jnp.ones(2)}}
    expected = PolynomialFeatures(2, include_bias=False).fit_transform(X) @ kernel + 1
    found = jax.jit(model.apply)({"params": params}, jnp.float32(X))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_a_degree_of_zero_is_refused():
    with pytest.raises(ConfigError, match="degree=0: sizes and counts are 1 or more"):
        Polynomial(degree=0)
