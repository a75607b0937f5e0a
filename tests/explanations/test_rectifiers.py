import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.explanations import rectifiers
from library.explanations.gradients import input_gradient
from library.models.cnn import small

# Two pixels, three hidden units, two classes.
FIRST = np.array([[1.0, -2.0, 1.0], [1.0, 1.0, -1.0]])
SECOND = np.array([[1.0, -1.0], [2.0, 1.0], [-3.0, 1.0]])
IMAGE = jnp.array([[1.0, 2.0], [3.0, 1.0]]).reshape(2, 1, 2, 1)
LABEL = jnp.array([0, 0])


def by_hand(image):
    hidden = nn.relu(image.reshape(len(image), 2) @ jnp.float32(FIRST))
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


def test_a_network_without_relu_is_refused():
    def squashed(image):
        return jnp.tanh(image.reshape(2, 2) @ jnp.float32(FIRST))

    with pytest.raises(ConfigError, match="this network has no relu"):
        rectifiers.guided_backpropagation(squashed, IMAGE, LABEL)
