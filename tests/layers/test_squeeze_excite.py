import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from library.layers.squeeze_excite import SqueezeExcite

# Two channels with means 2 and 3.
X = jnp.array([[[[1.0, 5.0], [3.0, 1.0]]]])


def variables(reduce, reduce_bias, expand, expand_bias):
    def conv(kernel, bias):
        kernel = jnp.float32(kernel)
        return {"kernel": kernel[None, None], "bias": jnp.float32(bias)}

    return {"params": {"reduce": conv(reduce, reduce_bias), "expand": conv(expand, expand_bias)}}


def test_channels_are_weighted_by_the_means_over_space():
    # relu(2 * 2 - 3 + 0.5) = 1.5, then 2 * 1.5 - 1 = 2 and -1.5 + 0 = -1.5.
    given = variables([[2], [-1]], [0.5], [[2, -1]], [-1, 0])
    y = SqueezeExcite(1).apply(given, X)
    factors = 1 / (1 + np.exp([-2, 1.5]))
    np.testing.assert_allclose(y, X * factors, rtol=1e-6)


def test_the_relu_is_between_the_layers():
    # 2 * 2 - 2 * 3 = -2 is cut, and only the biases remain.
    given = variables([[2], [-2]], [0], [[5, 5]], [0, np.log(3)])
    y = SqueezeExcite(1).apply(given, X)
    np.testing.assert_allclose(y, X * jnp.array([0.5, 0.75]), rtol=1e-6)


def test_activation_and_gate_are_those_given():
    given = variables([[1], [0]], [0], [[3, -1]], [0, 0.5])
    y = SqueezeExcite(1, activation=jnp.negative, gate=nn.hard_sigmoid).apply(given, X)
    # -2 makes -6 and 2.5; a hard sigmoid is x / 6 + 1 / 2, cut at 0 and 1.
    np.testing.assert_allclose(y, X * jnp.array([0, 2.5 / 6 + 0.5]), rtol=1e-6)


def test_params_and_types():
    x = jnp.zeros((2, 3, 3, 16), jnp.bfloat16)
    layer = SqueezeExcite(4, dtype=jnp.bfloat16)
    y, given = jax.eval_shape(layer.init_with_output, jax.random.key(0), x)
    shapes = jax.tree.map(lambda p: p.shape, given["params"])
    assert shapes == {
        "reduce": {"kernel": (1, 1, 16, 4), "bias": (4,)},
        "expand": {"kernel": (1, 1, 4, 16), "bias": (16,)},
    }
    assert (y.dtype, y.shape) == (jnp.bfloat16, x.shape)
