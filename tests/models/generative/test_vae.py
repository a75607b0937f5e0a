import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library import config
from library.config import ConfigError
from library.models.generative import vae

KEY = jax.random.key(0)
DIGITS = (28, 28, 1)
LABEL = jnp.array([0, 2])


def count(model):
    image = jnp.zeros((2, *model.image_shape))
    shapes = jax.eval_shape(lambda k: model.init(k, image, label=LABEL), KEY)["params"]
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))


def test_the_network_of_burda_has_its_params():
    sizes = [(784, 200), (200, 200), (200, 100), (50, 200), (200, 200), (200, 784)]
    expected = sum((fan_in + 1) * fan_out for fan_in, fan_out in sizes)
    assert count(vae.dense(DIGITS)) == expected == 425_284


def test_a_dense_network_by_hand():
    model = vae.dense((2, 2, 1), hidden=(5,), latent_dim=3)
    image = jax.random.uniform(KEY, (4, 2, 2, 1))
    variables = model.init(jax.random.key(1), image)
    p = jax.tree.map(np.asarray, variables["params"])

    def layer(x, part):
        return x @ part["kernel"] + part["bias"]

    hidden = np.tanh(layer(np.asarray(image).reshape(4, 4), p["encoder"]["hidden1"]))
    moments = layer(hidden, p["encoder"]["moments"])
    mean, log_variance = model.apply(variables, image, method="encode")
    np.testing.assert_allclose(mean, moments[:, :3], atol=1e-6)
    np.testing.assert_allclose(log_variance, moments[:, 3:], atol=1e-6)
    up = np.tanh(layer(moments[:, :3], p["decoder"]["hidden1"]))
    expected = layer(up, p["decoder"]["image"]).reshape(4, 2, 2, 1)
    np.testing.assert_allclose(model.apply(variables, image), expected, atol=1e-6)
    assert model.apply(variables, mean, method="decode")[1] is None


@pytest.mark.parametrize("kind", [dict(name="vae.dense"), dict(name="vae.convolutional")])
@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3)])
def test_shapes(kind, shape):
    model = config.build(
        {**kind, "conditional": True, "learned_scale": True, "latent_dim": 4},
        "library.models",
        "model",
        image_shape=shape,
        num_classes=3,
    )
    image = jnp.zeros((2, *shape))

    def run(key):
        variables = model.init(key, image, label=LABEL)
        mean, log_variance = model.apply(variables, image, LABEL, method="encode")
        return mean, log_variance, *model.apply(variables, mean, LABEL, method="decode")

    mean, log_variance, location, log_scale = jax.eval_shape(run, KEY)
    assert mean.shape == log_variance.shape == (2, 4)
    assert location.shape == image.shape
    assert log_scale.shape == shape[-1:]


@pytest.mark.parametrize("name", ["vae.dense", "vae.convolutional"])
def test_the_class_changes_both_directions_only_if_conditional(name):
    image = jax.random.uniform(KEY, (2, 4, 4, 1))
    for conditional in (True, False):
        spec = dict(name=name, conditional=conditional, latent_dim=2)
        spec |= dict(channels=[3]) if name == "vae.convolutional" else dict(hidden=[3])
        model = config.build(spec, "library.models", "model", image_shape=(4, 4, 1), num_classes=3)
        variables = model.init(jax.random.key(1), image, label=LABEL)
        other = (LABEL + 1) % 3
        codes = [model.apply(variables, image, y, method="encode")[0] for y in (LABEL, other)]
        z = jnp.zeros((2, 2))
        images = [model.apply(variables, z, y, method="decode")[0] for y in (LABEL, other)]
        assert np.array_equal(*codes) != conditional
        assert np.array_equal(*images) != conditional


def test_the_scale_starts_at_a_tenth():
    model = vae.dense((2, 2, 3), hidden=(), latent_dim=2, learned_scale=True)
    params = model.init(KEY, jnp.zeros((1, 2, 2, 3)))["params"]
    np.testing.assert_allclose(np.exp(params["log_scale"]), np.full(3, 0.1), rtol=1e-6)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (dict(name="vae.dense", conditional=True), "conditional=True with num_classes=0"),
        (dict(name="vae.dense", latent_dim=0), "latent_dim=0"),
        (dict(name="vae.dense", activation="tanhh"), "did you mean 'tanh'"),
        (dict(name="vae.convolutional", channels=[8, 8, 8]), r"possible are \[1, 2\]"),
    ],
)
def test_requests_that_are_not_understood(spec, message):
    with pytest.raises(ConfigError, match=message):
        config.build(spec, "library.models", "model", image_shape=DIGITS)
