import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.layers.depthwise import convolve, depthwise


class Layer(nn.Module):
    size: int = 3
    stride: int = 1
    padding: object = None
    use_bias: bool = False

    @nn.compact
    def __call__(self, x):
        return depthwise(
            x,
            self.size,
            self.stride,
            padding=self.padding,
            use_bias=self.use_bias,
            kernel_init=nn.initializers.ones,
            name="window",
        )


def applied(layer, kernel, x):
    return np.asarray(layer.apply({"params": {"window": {"kernel": kernel}}}, x))


def test_each_channel_has_its_own_window():
    # A kernel that takes the pixel to the left in channel 0, and twice the one below in channel 1.
    kernel = np.zeros((3, 3, 1, 2), np.float32)
    kernel[1, 0, 0, 0], kernel[2, 1, 0, 1] = 1, 2
    x = jnp.stack([jnp.arange(9.0).reshape(1, 3, 3), 10 + jnp.arange(9.0).reshape(1, 3, 3)], -1)
    y = applied(Layer(), kernel, x)
    np.testing.assert_array_equal(y[0, ..., 0], [[0, 0, 1], [0, 3, 4], [0, 6, 7]])
    np.testing.assert_array_equal(y[0, ..., 1], [[26, 28, 30], [32, 34, 36], [0, 0, 0]])


@pytest.mark.parametrize(("size", "side"), [(3, 2), (5, 2), (7, 2)])
def test_padding_is_the_same_on_all_sides(size, side):
    x = jnp.ones((1, 4, 4, 1))
    y = applied(Layer(size, 2), np.ones((size, size, 1, 1), np.float32), x)
    assert y.shape == (1, side, side, 1)
    # Windows around pixels 0 and 2: how many of the rows 0 to 3 each covers.
    covered = [len({i for i in range(4) if abs(i - c) <= size // 2}) for c in (0, 2)]
    np.testing.assert_array_equal(y[0, ..., 0], np.outer(covered, covered))


def test_same_pads_a_strided_layer_only_at_the_end():
    y = applied(Layer(3, 2, "SAME"), np.ones((3, 3, 1, 1), np.float32), jnp.ones((1, 4, 4, 1)))
    np.testing.assert_array_equal(y[0, ..., 0], [[9, 6], [6, 4]])


def test_params():
    x = jnp.zeros((1, 4, 4, 6))
    params = jax.eval_shape(Layer(5, use_bias=True).init, jax.random.key(0), x)["params"]["window"]
    assert params["kernel"].shape == (5, 5, 1, 6)
    assert params["bias"].shape == (6,)
    params = jax.eval_shape(Layer(5).init, jax.random.key(0), x)["params"]["window"]
    assert set(params) == {"kernel"}


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("pads", [((1, 1), (1, 1)), ((0, 1), (2, 0))])
def test_values_and_gradients_are_those_of_a_convolution_with_a_group_a_channel(stride, pads):
    draw = np.random.default_rng(0)
    x, kernel = draw.normal(size=(2, 7, 6, 5)), draw.normal(size=(3, 3, 1, 5))

    def grouped(x, kernel):
        return jax.lax.conv_general_dilated(
            x,
            kernel,
            (stride, stride),
            pads,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=5,
        )

    with jax.enable_x64(True):
        arrays = (jnp.asarray(x), jnp.asarray(kernel))
        made, back = jax.vjp(lambda x, k: convolve(x, k, stride, pads), *arrays)
        expected, back_expected = jax.vjp(grouped, *arrays)
        np.testing.assert_allclose(made, expected, 1e-12, 1e-12)
        for ours, theirs in zip(back(made), back_expected(made), strict=True):
            np.testing.assert_allclose(ours, theirs, 1e-12, 1e-12)
