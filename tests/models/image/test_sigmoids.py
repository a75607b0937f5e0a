import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.models.image.sigmoids import Sigmoids


def test_outputs_are_sums_of_sigmoids():
    model, x = Sigmoids(num_classes=2, hidden=(3,)), np.random.default_rng(0).normal(size=(5, 2))
    params = jax.jit(model.init)(jax.random.key(0), jnp.float32(x))["params"]
    w, c, head = (
        np.asarray(p, float) for p in (params["kernel"], params["center"], params["head"]["kernel"])
    )
    steps = [1 / (1 + np.exp(-(x - c[j]) @ w[:, j])) for j in range(3)]
    expected = np.stack(steps, axis=1) @ head
    found = jax.jit(model.apply)({"params": params}, jnp.float32(x))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_the_steps_start_where_inputs_are():
    params = jax.eval_shape(Sigmoids(hidden=(4, 3)).init, jax.random.key(0), jnp.zeros((1, 1)))
    assert params["params"]["hidden2"]["kernel"].shape == (4, 3)
    params = jax.jit(Sigmoids(hidden=(400,)).init)(jax.random.key(0), jnp.zeros((1, 1)))["params"]
    center = np.asarray(params["center"])
    assert -1 <= center.min() < -0.9 < 0.9 < center.max() <= 1
    assert np.std(params["kernel"]) == pytest.approx(8, rel=0.15)


def test_a_network_without_hidden_layers_is_refused():
    with pytest.raises(ConfigError, match=r"hidden=\(\), slope=8\.0: valid are one layer or more"):
        Sigmoids(hidden=())
