import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.apps.explain import activations
from library.config import ConfigError
from library.models.image.cnn import lenet5
from library.models.image.mlp import mlp


def initialized(model, size, channels):
    image = jnp.zeros((1, size, size, channels))
    return model, jax.jit(model.init)(jax.random.key(0), image), image


def test_the_filters_of_the_first_convolution():
    model, variables, image = initialized(lenet5(), 28, 1)
    name, filters = activations.first_filters(model, variables, image)
    assert (name, filters.shape) == ("c1", (6, 5, 5, 1))
    kernel = variables["params"]["c1"]["kernel"]
    np.testing.assert_array_equal(filters[4, ..., 0], kernel[:, :, 0, 4])


def test_the_units_of_a_perceptron():
    model, variables, image = initialized(mlp(hidden=(3,)), 4, 2)
    name, filters = activations.first_filters(model, variables, image)
    assert (name, filters.shape) == ("hidden1", (3, 4, 4, 2))
    np.testing.assert_array_equal(
        filters[2].ravel(), variables["params"]["hidden1"]["kernel"][:, 2]
    )


def test_zero_is_grey_and_each_filter_has_its_scale():
    filters = np.zeros((2, 1, 2, 1), np.float32)
    filters[0, 0, :, 0] = [-2, 1]
    images = activations.filter_images(filters)
    np.testing.assert_array_equal(images[..., 0], [[[0, 191]], [[128, 128]]])


def test_channels_that_are_no_colours_are_shown_one_by_one():
    filters = np.arange(2 * 1 * 1 * 2.0, dtype=np.float32).reshape(2, 1, 1, 2) - 1
    images = activations.filter_images(filters)
    np.testing.assert_array_equal(images.ravel(), [0, 128, 255, 255])


def test_the_most_active_channels():
    activation = np.zeros((2, 2, 2, 4), np.float32)
    activation[0, ..., 3] = [[1, 2], [3, 5]]
    activation[1, ..., 3] = 1
    activation[..., 1] = -9
    chosen, images = activations.activation_images(activation, channels=2)
    np.testing.assert_array_equal(chosen, [1, 3])
    assert images.shape == (2, 2, 2, 2, 1)
    np.testing.assert_array_equal(images[0, 1, ..., 0], [[0, 64], [128, 255]])
    np.testing.assert_array_equal(images[1, 1, ..., 0], 0)


class Stretched(nn.Module):
    @nn.compact
    def __call__(self, image, train=False):
        return nn.LayerNorm(name="norm")(image).mean((1, 2))


def test_a_network_whose_kernels_fit_nothing():
    with pytest.raises(ConfigError, match="Stretched has no layer whose kernel fits"):
        activations.first_filters(*initialized(Stretched(), 8, 3))
