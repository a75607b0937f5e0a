import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.apps.explain import rectifiers
from library.apps.explain.gradients import input_gradient
from library.config import ConfigError
from library.models.image.cnn import small
from library.models.image.mobilenet_v2 import mobilenet_v2
from library.models.image.mobilenet_v3 import mobilenet_v3_small

# Two pixels, three hidden units, two classes.
FIRST = np.array([[1.0, -2.0, 1.0], [1.0, 1.0, -1.0]])
SECOND = np.array([[1.0, -1.0], [2.0, 1.0], [-3.0, 1.0]])
IMAGE = jnp.array([[1.0, 2.0], [3.0, 1.0]]).reshape(2, 1, 2, 1)
LABEL = jnp.array([0, 0])


def by_hand(image, rectifier=nn.relu):
    hidden = rectifier(image.reshape(len(image), 2) @ jnp.float32(FIRST))
    return hidden @ jnp.float32(SECOND)


def backwards(rule):
    """Sends the score back: `rule(x, g)` is what passes a unit whose input was x."""
    found = []
    for pixels in np.float64(IMAGE).reshape(2, 2):
        signal = rule(pixels @ FIRST, SECOND[:, 0])
        found.append(FIRST @ signal)
    return np.array(found).reshape(IMAGE.shape)


def test_two_layers_by_hand():
    """The units see (3, 0, -1) and (4, -5, 2); their signals are (1, 2, -3)."""
    np.testing.assert_array_equal(np.float64(IMAGE).reshape(2, 2) @ FIRST, [[3, 0, -1], [4, -5, 2]])
    guided = rectifiers.guided_backpropagation(by_hand, IMAGE, LABEL)
    np.testing.assert_array_equal(guided.reshape(2, 2), [[1, 1], [1, 1]])
    np.testing.assert_array_equal(guided, backwards(lambda x, g: g * (x > 0) * (g > 0)))
    deconvolved = rectifiers.deconvnet(by_hand, IMAGE, LABEL)
    np.testing.assert_array_equal(deconvolved.reshape(2, 2), [[-3, 3], [-3, 3]])
    np.testing.assert_array_equal(deconvolved, backwards(lambda x, g: g * (g > 0)))
    plain = input_gradient(by_hand, IMAGE, LABEL)
    np.testing.assert_array_equal(plain.reshape(2, 2), [[1, 1], [-2, 4]])


def test_a_rectifier_that_saturates():
    """The units see (4.5, 0, -1.5) and (7, -8, 3), and 7 is too much for the first."""
    image = jnp.array([[1.5, 3.0], [5.0, 2.0]]).reshape(IMAGE.shape)
    inputs = np.float64(image).reshape(2, 2) @ FIRST
    np.testing.assert_array_equal(inputs, [[4.5, 0, -1.5], [7, -8, 3]])

    def logits(x):
        return by_hand(x, nn.relu6)

    guided = rectifiers.guided_backpropagation(logits, image, LABEL)
    np.testing.assert_array_equal(guided.reshape(2, 2), [[1, 1], [0, 0]])
    deconvolved = rectifiers.deconvnet(logits, image, LABEL)
    np.testing.assert_array_equal(deconvolved.reshape(2, 2), [[-3, 3], [-3, 3]])
    plain = input_gradient(logits, image, LABEL)
    np.testing.assert_array_equal(plain.reshape(2, 2), [[1, 1], [-3, 3]])


def test_gates_are_left_as_they_are():
    """A gate that JAX writes with relu6 keeps its gradient: half open, it rises by a sixth."""

    def logits(image):
        x = image.reshape(len(image), 2)
        return nn.relu6(x @ jnp.float32(FIRST)) @ jnp.float32(SECOND) - nn.hard_sigmoid(x)

    found = rectifiers.guided_backpropagation(logits, IMAGE, LABEL)
    of_gate = np.where(np.float64(IMAGE).reshape(2, 2)[:, :1] < 3, [[-1 / 6, 0]], 0)
    np.testing.assert_allclose(found.reshape(2, 2), np.ones((2, 2)) + of_gate, 1e-6)


def test_functions_within_functions():
    def compiled(image):
        return jax.jit(jax.checkpoint(by_hand))(image)

    for method in (rectifiers.guided_backpropagation, rectifiers.deconvnet):
        found = jax.jit(lambda x, y, method=method: method(compiled, x, y))(IMAGE, LABEL)
        np.testing.assert_array_equal(found, method(by_hand, IMAGE, LABEL))


@pytest.mark.parametrize("positive", [True, False])
def test_a_whole_network_of_this_project(positive):
    """With positive weights alone no signal is negative: all rules are one."""
    model = small(widths=(3, 4))
    image = jax.random.uniform(jax.random.key(0), (1, 8, 8, 3))
    variables = jax.jit(model.init)(jax.random.key(1), image)
    if positive:
        variables = {**variables, "params": jax.tree.map(jnp.abs, variables["params"])}

    @jax.jit
    def compared(variables, image):
        def logits(x):
            return model.apply(variables, x)

        plain = input_gradient(logits, image, jnp.array([3]))
        guided = rectifiers.guided_backpropagation(logits, image, jnp.array([3]))
        return plain, guided, jnp.abs(plain).max()

    plain, guided, scale = compared(variables, image)
    assert np.allclose(guided / scale, plain / scale, atol=1e-5) == positive


@pytest.mark.parametrize(
    ("activation", "message"),
    [
        (jnp.tanh, "this network has no relu or relu6"),
        (nn.hard_sigmoid, "this network has no relu or relu6"),
        (nn.silu, "this network has silu: .* relu and relu6 only"),
        (nn.hard_swish, "this network has hard_silu"),
        (lambda x: nn.relu(nn.leaky_relu(x)), "this network has leaky_relu"),
    ],
)
def test_networks_of_other_activations_are_refused(activation, message):
    for method in (rectifiers.guided_backpropagation, rectifiers.deconvnet):
        with pytest.raises(ConfigError, match=message):
            method(lambda x: by_hand(x, activation), IMAGE, LABEL)


def of_a_blank_network(model, image):
    """Traces guided backpropagation through a network of zeros."""
    shapes = jax.eval_shape(model.init, jax.random.key(1), image)
    variables = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

    def explained(image):
        return rectifiers.guided_backpropagation(
            lambda x: model.apply(variables, x), image, jnp.array([1])
        )

    return jax.eval_shape(explained, image)


@pytest.mark.full
def test_networks_whose_only_rectifier_is_relu6_and_such_that_have_others_too():
    image = jnp.zeros((1, 32, 32, 3))
    assert (
        of_a_blank_network(mobilenet_v2(num_classes=3, width_multiplier=0.35), image).shape
        == image.shape
    )
    with pytest.raises(ConfigError, match="this network has hard_silu"):
        of_a_blank_network(mobilenet_v3_small(num_classes=3), image)
