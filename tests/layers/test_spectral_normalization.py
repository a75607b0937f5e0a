"""Spectral normalization against numpy's singular values."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.layers.spectral_normalization import COLLECTION, spectrally_normalized

LAYERS = {
    "dense": (lambda: nn.Dense(5, use_bias=False, name="layer"), (3, 4)),
    "conv": (lambda: nn.Conv(5, (3, 3), use_bias=False, name="layer"), (2, 6, 6, 2)),
    "embed": (lambda: nn.Embed(6, 5, name="layer"), (3,)),
}


def inputs(kind):
    if kind == "embed":
        return jnp.array([5, 0, 3])
    return jax.random.normal(jax.random.key(1), LAYERS[kind][1])


class Wrapped(nn.Module):
    kind: str

    @nn.compact
    def __call__(self, x, train=False):
        return spectrally_normalized(LAYERS[self.kind][0](), x, train=train)


@pytest.mark.parametrize("kind", LAYERS)
def test_the_layer_is_divided_by_its_largest_singular_value(kind):
    make, name = LAYERS[kind][0], "embedding" if kind == "embed" else "kernel"
    model, x = Wrapped(kind), inputs(kind)
    variables = model.init(jax.random.key(0), x)
    assert set(variables) == {"params", COLLECTION}
    params = {"params": variables["params"]}
    step = jax.jit(lambda held: model.apply({**params, **held}, x, True, mutable=[COLLECTION])[1])
    held = {COLLECTION: variables[COLLECTION]}
    for _ in range(300):
        held = step(held)
    kernel = np.asarray(variables["params"]["layer"][name], np.float64)
    sigma = np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]), compute_uv=False)[0]
    found = model.apply({**params, **held}, x)
    plain = make().apply({"params": {name: kernel.astype(np.float32) / sigma}}, x)
    np.testing.assert_allclose(found, plain, rtol=1e-4, atol=1e-5)
    # Its gradient leaves out the change along the layer's own kernel: scaling changes nothing.
    slope = jax.grad(lambda p: jnp.sum(model.apply({"params": p, **held}, x) ** 2))
    own = slope(params["params"])["layer"][name]
    assert abs(float(jnp.sum(own * kernel))) < 1e-3 * float(jnp.linalg.norm(own))


def test_one_step_of_the_power_iteration_is_kept_in_training_only():
    model, x = Wrapped("dense"), jnp.ones((1, 4))
    variables = model.init(jax.random.key(0), x)
    kernel = np.asarray(variables["params"]["layer"]["kernel"])
    u = variables[COLLECTION]["layer_spectral"]["u"]
    v = kernel @ u / np.linalg.norm(kernel @ u)
    expected = v @ kernel / np.linalg.norm(v @ kernel)
    found, moved = model.apply(variables, x, True, mutable=[COLLECTION])
    np.testing.assert_allclose(moved[COLLECTION]["layer_spectral"]["u"], expected, rtol=1e-5)
    np.testing.assert_allclose(found, x @ kernel / (v @ kernel @ expected), rtol=1e-5)
    again, still = model.apply(variables, x, False, mutable=[COLLECTION])
    np.testing.assert_array_equal(again, found)
    jax.tree.map(np.testing.assert_array_equal, still[COLLECTION], variables[COLLECTION])


def test_params_are_the_initializers_and_lie_where_they_would_without():
    make, shape = LAYERS["dense"]
    x = jnp.ones(shape)

    class Plain(nn.Module):
        @nn.compact
        def __call__(self, x):
            return make()(x)

    plain = Plain().init(jax.random.key(0), x)["params"]
    wrapped = Wrapped("dense").init(jax.random.key(0), x)["params"]
    jax.tree.map(np.testing.assert_array_equal, plain, wrapped)
