import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.layers.convolution_3d import Conv3D, clip_max_pool
from tests import often

KEY = jax.random.key(0)


@pytest.mark.parametrize(
    ("kernel", "strides", "padding"),
    often.first(
        1,
        [
            ((2, 3, 1), (2, 1, 3), ((0, 1), (0, 2), (0, 0))),
            ((3, 3, 3), (1, 1, 1), None),
            ((1, 5, 5), (1, 2, 2), ((0, 0), (2, 2), (2, 2))),
            ((3, 1, 1), (2, 1, 1), ((1, 1), (0, 0), (0, 0))),
        ],
    ),
)
def test_values_and_gradients_are_those_of_flaxs_layer(kernel, strides, padding):
    clip = jax.random.normal(KEY, (2, 5, 6, 7, 3))
    usual = tuple((k // 2, k // 2) for k in kernel)
    theirs = nn.Conv(4, kernel, strides, padding=padding or usual)
    ours = Conv3D(4, kernel, strides, padding)
    variables = theirs.init(KEY, clip)
    assert jax.tree.map(jnp.shape, ours.init(KEY, clip)) == jax.tree.map(jnp.shape, variables)

    def results(layer):
        def value(variables, clip):
            made = layer.apply(variables, clip)
            weights = jnp.sin(jnp.arange(made.size)).reshape(made.shape)
            return jnp.sum(weights * made), made

        return jax.jit(jax.grad(value, (0, 1), has_aux=True))(variables, clip)

    for a, b in zip(*map(jax.tree.leaves, (results(ours), results(theirs)))):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("frames", "edge"), [(1, 0), (2, 0), (2, 1)])
def test_pooling_is_flaxs(frames, edge):
    clip = jax.random.normal(KEY, (2, 5, 6, 6, 3))
    window, padding = (frames, 2, 2), ((0, 0), (edge, edge), (edge, edge))
    expected = nn.max_pool(clip, window, window, padding=padding)
    np.testing.assert_array_equal(clip_max_pool(clip, frames, 2, edge), expected)
