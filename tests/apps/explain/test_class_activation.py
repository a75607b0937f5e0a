import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.apps.explain import class_activation
from library.config import ConfigError
from library.layers.intermediates import store
from library.models.image.cnn import lenet5
from library.models.image.mlp import mlp
from library.models.image.resnet import resnet20, resnet20_v2
from library.models.image.vit import vit

IMAGE = jax.random.uniform(jax.random.key(0), (2, 6, 4, 1))
LABEL = jnp.array([1, 2])


class Pooled(nn.Module):
    """A convolution, the mean of it over space, and a linear head."""

    @nn.compact
    def __call__(self, image, train=False):
        x = jnp.tanh(nn.Conv(5, (3, 3), name="conv")(image))
        store(self, "stage1", x)
        x = x.mean((1, 2))
        store(self, "features", x)
        return nn.Dense(3, name="head")(x)


class Curved(nn.Module):
    """Its logits are the cubes of the sums of a convolution's channels, weighted."""

    weight: tuple[tuple[float, ...], ...]

    @nn.compact
    def __call__(self, image, train=False):
        x = nn.Conv(2, (3, 3), name="conv")(image)
        return jnp.sum(x**3, axis=(1, 2)) @ jnp.array(self.weight)


@pytest.fixture(scope="module")
def pooled():
    model = Pooled()
    return model, jax.jit(model.init)(jax.random.key(3), IMAGE)


def test_the_mean_of_cam_is_the_logit(pooled):
    maps = class_activation.cam(*pooled, IMAGE, LABEL, "stage1")
    assert maps.shape == (2, 6, 4)
    logits = pooled[0].apply(pooled[1], IMAGE)
    bias = pooled[1]["params"]["head"]["bias"]
    expected = (logits - bias)[np.arange(2), np.asarray(LABEL)]
    np.testing.assert_allclose(maps.mean((1, 2)), expected, atol=1e-6)


def test_cam_is_grad_cam_up_to_scale_where_the_head_sees_the_mean(pooled):
    maps = class_activation.cam(*pooled, IMAGE, LABEL, "stage1")
    found = class_activation.grad_cam(*pooled, IMAGE, LABEL, "stage1")
    assert 0 < np.mean(maps > 0) < 1
    np.testing.assert_allclose(found, np.maximum(maps, 0) / 24, atol=1e-7)


def test_grad_cam_by_hand():
    model = Curved(((1.0, 0.5, -1.0), (0.3, -2.0, 1.0)))
    variables = jax.jit(model.init)(jax.random.key(1), IMAGE)
    conv = nn.Conv(2, (3, 3)).apply({"params": variables["params"]["conv"]}, IMAGE)
    activation = np.float64(conv)
    weight = np.array(model.weight)[:, np.asarray(LABEL)].T[:, None, None]
    gradient = 3 * activation**2 * weight

    expected = np.maximum((gradient.mean((1, 2), keepdims=True) * activation).sum(-1), 0)
    found = class_activation.grad_cam(model, variables, IMAGE, LABEL, "conv")
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())

    total = activation.sum((1, 2), keepdims=True)
    alpha = gradient**2 / (2 * gradient**2 + gradient**3 * total)
    weights = (alpha * np.maximum(gradient, 0)).sum((1, 2), keepdims=True)
    expected = np.maximum((weights * activation).sum(-1), 0)
    found = class_activation.grad_cam_plus_plus(model, variables, IMAGE, LABEL, "conv")
    assert expected.max() > 0
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.full
def test_cam_of_a_residual_network():
    """Its last stage is what the head sees the mean of; the stage before is not."""
    model, image = resnet20(width=2), jnp.ones((1, 8, 8, 3))
    shapes = jax.eval_shape(model.init, jax.random.key(0), image)
    variables = jax.tree.map(lambda p: jnp.linspace(0.1, 1, p.size).reshape(p.shape), shapes)
    split = jax.jit(
        lambda variables, image: class_activation.layers.activations(
            model, variables, image, ["stage3", "features"]
        )
    )
    found = split(variables, image)
    np.testing.assert_allclose(found["stage3"].mean((1, 2)), found["features"], rtol=1e-5)
    with pytest.raises(ConfigError, match="does not take the mean of layer 'stage2'"):
        class_activation.cam(model, variables, image, jnp.array([0]), "stage2")


def test_cam_wants_a_linear_head_on_the_mean(pooled):
    with pytest.raises(ConfigError, match="does not take the mean of layer 'conv'"):
        class_activation.cam(*pooled, IMAGE, LABEL, "conv")
    model = Curved(((1.0, 0.5, -1.0), (0.3, -2.0, 1.0)))
    variables = jax.jit(model.init)(jax.random.key(1), IMAGE)
    with pytest.raises(ConfigError, match="CAM does not apply"):
        class_activation.cam(model, variables, IMAGE, LABEL, "conv")


def test_grad_cam_of_tokens_has_the_shape_of_the_patches():
    model = vit(num_classes=3, width=8, depth=2, num_heads=2, patch_size=4)
    image = jax.random.uniform(jax.random.key(0), (2, 8, 12, 1))
    shapes = jax.eval_shape(model.init, jax.random.key(0), image)
    variables = jax.tree.map(lambda p: jnp.linspace(-1, 1, p.size).reshape(p.shape), shapes)
    grad_cam = functools.partial(class_activation.grad_cam, model)
    found = jax.jit(grad_cam, static_argnums=3)(variables, image, LABEL, "stage1")
    assert found.shape == (2, 2, 3)
    with pytest.raises(ConfigError, match="layer 'features' has no spatial grid: its shape is 8"):
        grad_cam(variables, image, LABEL, "features")


@pytest.mark.parametrize(
    ("model", "size", "expected"),
    [
        (lenet5(), 28, "stage2"),
        (resnet20(width=2), 8, "stage3"),
        (resnet20_v2(width=2), 8, "stage3"),
        (vit(num_classes=3, width=8, depth=3, num_heads=2, patch_size=4), 8, "stage2"),
        (vit(num_classes=3, width=8, depth=1, num_heads=2, patch_size=4, pool="gap"), 8, "tokens"),
    ],
)
def test_the_layer_that_is_looked_at_by_default(model, size, expected):
    image = jnp.ones((1, size, size, 1))
    variables = jax.eval_shape(model.init, jax.random.key(0), image)
    assert class_activation.default_layer(model, variables, image) == expected


def test_a_perceptron_has_no_such_layer():
    model, image = mlp(hidden=(4,)), jnp.ones((1, 4, 4, 1))
    variables = jax.eval_shape(model.init, jax.random.key(0), image)
    with pytest.raises(ConfigError, match="no layer of MLP has a spatial grid"):
        class_activation.default_layer(model, variables, image)


def test_enlarged_bilinearly():
    found = class_activation.enlarged(jnp.array([[[0.0, 4.0]]]), (2, 4))
    np.testing.assert_allclose(found, [[[0, 1, 3, 4]] * 2], atol=1e-6)
