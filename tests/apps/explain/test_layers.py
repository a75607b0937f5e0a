import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.apps.explain import layers
from library.config import ConfigError
from library.layers.intermediates import store
from library.models.image.resnet import resnet20
from library.models.image.vit import vit

IMAGE = jax.random.normal(jax.random.key(0), (2, 4, 4, 1))


class Inner(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Conv(3, (3, 3), name="conv")(x), x.shape


class Network(nn.Module):
    """A record that no submodule returns, a submodule in another, and one that leads nowhere."""

    @nn.compact
    def __call__(self, image, train=False):
        x, _ = Inner(name="inner")(image)
        nn.Dense(2, name="aside")(x)
        x = jnp.tanh(x)
        store(self, "stage1", x)
        x = x.mean((1, 2)) + image.mean((1, 2))
        store(self, "features", x)
        return nn.Dense(5, name="head")(x)


@pytest.fixture(scope="module")
def network():
    model = Network()
    variables = model.init(jax.random.key(1), IMAGE)
    variables = jax.tree.map(lambda p: p + 0.1, variables)
    return model, variables


def test_layers_are_records_then_submodules_as_they_are_computed(network):
    found = layers.survey(*network, IMAGE)
    assert list(found) == ["stage1", "features", "inner/conv", "aside", "head"]
    assert found["stage1"] == layers.Layer((2, 4, 4, 3), True)
    assert found["inner/conv"] == layers.Layer((2, 4, 4, 3), False)


def test_many_blocks_are_in_order():
    model = resnet20(width=4)
    image = jnp.ones((1, 8, 8, 3))
    found = layers.survey(model, jax.eval_shape(model.init, jax.random.key(0), image), image)
    recorded = [name for name, layer in found.items() if layer.recorded]
    assert recorded == ["stage1", "stage2", "stage3", "features"]
    blocks = [name for name in found if name.endswith("block1") or name.endswith("block2")]
    assert blocks == [f"stage{s}_block{b}" for s in (1, 2, 3) for b in (1, 2)]


def test_activation_and_rest(network):
    model, variables = network
    params = variables["params"]
    activation, rest = layers.split(model, variables, IMAGE, "stage1")
    inner = Inner().apply({"params": params["inner"]}, IMAGE)[0]
    np.testing.assert_allclose(activation, jnp.tanh(inner), atol=1e-6)
    np.testing.assert_allclose(rest(activation), model.apply(variables, IMAGE), atol=1e-6)
    # The image's own way to the logits stays as it is.
    other = jnp.full_like(activation, 2.0)
    x = 2 + IMAGE.mean((1, 2))
    expected = np.broadcast_to(x, (2, 3)) @ params["head"]["kernel"] + params["head"]["bias"]
    np.testing.assert_allclose(rest(other), expected, atol=1e-6)


def test_gradients_and_jit_pass_through_both(network):
    model, variables = network
    head = variables["params"]["head"]["kernel"]

    @jax.jit
    def gradient(variables, image):
        activation, rest = layers.split(model, variables, image, "inner/conv")
        return activation, jax.grad(lambda x: rest(x)[:, 3].sum())(activation)

    activation, found = gradient(variables, IMAGE)
    expected = (1 - jnp.tanh(activation) ** 2) * head[:, 3] / 16
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_recomputed_blocks_have_layers_too():
    settings = dict(num_classes=3, width=8, depth=1, num_heads=2, patch_size=4)
    image = jax.random.normal(jax.random.key(2), (1, 8, 8, 3))
    found = []
    for remat in (False, True):
        model = vit(**settings, remat=remat)
        shapes = jax.eval_shape(model.init, jax.random.key(0), image)
        variables = jax.tree.map(lambda p: jnp.linspace(-1, 1, p.size).reshape(p.shape), shapes)

        @jax.jit
        def gradient(variables, image, model=model):
            activation, rest = layers.split(model, variables, image, "block1/feed_forward/fc1")
            return jax.grad(lambda x: rest(x)[0, 0])(activation)

        found.append(gradient(variables, image))
    assert np.abs(found[0]).max() > 0
    np.testing.assert_array_equal(*found)


def test_several_activations(network):
    found = layers.activations(*network, IMAGE, ["head", "stage1"])
    assert list(found) == ["head", "stage1"]
    np.testing.assert_array_equal(found["head"], network[0].apply(network[1], IMAGE))


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("stage2", "unknown layer 'stage2': did you mean 'stage1'"),
        ("conv", "did you mean 'inner/conv'"),
        ("aside", "the logits do not depend on layer 'aside'"),
    ],
)
def test_layers_that_are_none(network, layer, message):
    with pytest.raises(ConfigError, match=message):
        layers.split(*network, IMAGE, layer)


@pytest.mark.parametrize(
    ("shape", "image", "expected"),
    [
        ((2, 3, 5, 7), (2, 9, 9, 1), (3, 5)),
        ((2, 1, 1, 7), (2, 9, 9, 1), None),
        ((2, 16, 8), (2, 8, 8, 3), (4, 4)),
        ((2, 17, 8), (2, 8, 8, 3), (4, 4)),
        ((2, 18, 8), (2, 8, 8, 3), (4, 4)),
        ((2, 7, 8), (2, 8, 12, 3), (2, 3)),
        ((2, 8, 8), (2, 8, 8, 3), None),
        ((2, 8), (2, 8, 8, 3), None),
    ],
)
def test_places_in_space(shape, image, expected):
    assert layers.grid(shape, image) == expected


def test_tokens_are_laid_out_without_the_class():
    tokens = jnp.arange(2 * 7 * 3.0).reshape(2, 7, 3)
    found = layers.in_space(tokens, (2, 8, 12, 1), "x")
    np.testing.assert_array_equal(found.reshape(2, 6, 3), tokens[:, 1:])
    with pytest.raises(ConfigError, match="layer 'x' has no spatial grid: its shape is 7x3"):
        layers.in_space(tokens, (2, 8, 8, 1), "x")
