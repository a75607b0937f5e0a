import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from library import config
from library.config import ConfigError
from library.models.generative import autoencoder

KEY = jax.random.key(0)
DIGITS = (28, 28, 1)


def count(model):
    image = jnp.zeros((2, *model.image_shape))
    shapes = jax.eval_shape(model.init, KEY, image)["params"]
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))


def test_the_network_of_2006_has_its_params():
    sizes = [784, 1000, 500, 250, 30, 250, 500, 1000, 784]
    expected = sum((fan_in + 1) * fan_out for fan_in, fan_out in itertools.pairwise(sizes))
    assert count(autoencoder.deep(DIGITS)) == expected == 2_837_314


def test_names_are_the_schema_of_the_checkpoint():
    model = autoencoder.dense((4, 4, 1), hidden=(6, 5), latent_dim=3)
    shapes = jax.eval_shape(model.init, KEY, jnp.zeros((2, 4, 4, 1)))["params"]
    kernels = {
        "/".join(path): leaf.shape
        for path, leaf in flatten_dict(shapes).items()
        if path[-1] == "kernel"
    }
    assert kernels == {
        "encoder/hidden1/kernel": (16, 6),
        "encoder/hidden2/kernel": (6, 5),
        "encoder/code/kernel": (5, 3),
        "decoder/hidden1/kernel": (3, 5),
        "decoder/hidden2/kernel": (5, 6),
        "decoder/image/kernel": (6, 16),
    }


def test_a_dense_network_by_hand():
    model = autoencoder.dense(
        (3, 3, 1), hidden=(5,), latent_dim=2, activation="tanh", code_activation="sigmoid"
    )
    image = jax.random.uniform(KEY, (4, 3, 3, 1))
    variables = model.init(jax.random.key(1), image)
    logits, updated = model.apply(variables, image, mutable=["intermediates"])
    p = jax.tree.map(np.asarray, variables["params"])

    def layer(x, part):
        return x @ part["kernel"] + part["bias"]

    hidden = np.tanh(layer(np.asarray(image).reshape(4, 9), p["encoder"]["hidden1"]))
    code = 1 / (1 + np.exp(-layer(hidden, p["encoder"]["code"])))
    up = np.tanh(layer(code, p["decoder"]["hidden1"]))
    expected = layer(up, p["decoder"]["image"]).reshape(4, 3, 3, 1)
    np.testing.assert_allclose(logits, expected, atol=1e-6)
    np.testing.assert_allclose(updated["intermediates"]["features"], code, atol=1e-6)


@pytest.mark.full
def test_layerwise_pairs_by_hand_and_gradients_within_a_layer_and_its_mirror():
    model = autoencoder.deep((2, 3, 1), hidden=(5, 4), latent_dim=2)
    image = jax.random.uniform(KEY, (3, 2, 3, 1))
    params = model.init(jax.random.key(1), image)["params"]
    p = jax.tree.map(np.asarray, params)

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    def layer(x, part):
        return x @ part["kernel"] + part["bias"]

    x0 = np.asarray(image).reshape(3, 6)
    x1 = sigmoid(layer(x0, p["encoder"]["hidden1"]))
    x2 = sigmoid(layer(x1, p["encoder"]["hidden2"]))
    code = layer(x2, p["encoder"]["code"])
    expected = [
        (x0, layer(x1, p["decoder"]["image"])),
        (x1, layer(x2, p["decoder"]["hidden2"])),
        (x2, layer(code, p["decoder"]["hidden1"])),
    ]
    found = model.apply({"params": params}, image, method="layerwise")
    for (target, logits), (by_hand, logits_by_hand) in zip(found, expected, strict=True):
        np.testing.assert_allclose(target, by_hand, atol=1e-6)
        np.testing.assert_allclose(logits, logits_by_hand, atol=1e-6)

    def moved_by(i):
        def loss(params):
            target, logits = model.apply({"params": params}, image, method="layerwise")[i]
            return jnp.sum(jnp.square(logits - target))

        flat = flatten_dict(jax.grad(loss)(params))
        return {"/".join(path[:-1]) for path, leaf in flat.items() if jnp.any(leaf != 0)}

    assert moved_by(0) == {"encoder/hidden1", "decoder/image"}
    assert moved_by(1) == {"encoder/hidden2", "decoder/hidden2"}
    assert moved_by(2) == {"encoder/code", "decoder/hidden1"}
    assert [set(names) for names in model.layer_names()] == [moved_by(i) for i in range(3)]


def test_layerwise_corrupts_what_is_encoded_but_neither_target_nor_next_input():
    model = autoencoder.deep((2, 2, 1), hidden=(3,), latent_dim=2)
    image = jax.random.uniform(KEY, (3, 2, 2, 1))
    variables = model.init(jax.random.key(1), image)
    clean = model.apply(variables, image, method="layerwise")
    noisy = model.apply(
        variables,
        image,
        lambda layer, x: jnp.zeros_like(x) if layer == 0 else x,
        method="layerwise",
    )
    for (target, _), (same, _) in zip(clean, noisy, strict=True):
        np.testing.assert_array_equal(target, same)
    assert not np.allclose(clean[0][1], noisy[0][1])
    np.testing.assert_array_equal(clean[1][1], noisy[1][1])


@pytest.mark.parametrize(
    ("shape", "channels", "small"),
    [((28, 28, 1), (4, 6), (7, 7)), ((32, 32, 3), (4, 5, 6), (4, 4)), ((8, 4, 1), (3,), (4, 2))],
)
def test_transposed_convolutions_lead_back_to_the_image(shape, channels, small):
    model = autoencoder.convolutional(shape, channels=channels, latent_dim=5)
    image = jnp.zeros((2, *shape))
    logits, variables = jax.eval_shape(model.init_with_output, KEY, image)
    assert logits.shape == image.shape
    params = variables["params"]
    assert params["decoder"]["hidden1"]["kernel"].shape == (5, small[0] * small[1] * channels[-1])
    assert params["encoder"]["code"]["kernel"].shape == (small[0] * small[1] * channels[-1], 5)
    assert params["decoder"]["image"]["kernel"].shape == (4, 4, channels[0], shape[-1])


def test_a_transposed_convolution_treats_all_pixels_alike():
    # Of a constant map each output pixel, away from the border, is a sum of as many terms.
    module = autoencoder.ConvDecoder((1,), (12, 12, 1), activation="linear")
    variables = module.init(KEY, jnp.zeros((1, 1)))
    params = jax.tree.map(jnp.zeros_like, variables["params"])
    params["hidden1"]["bias"] += 1.0
    params["image"]["kernel"] += 1.0
    out = module.apply({"params": params}, jnp.zeros((1, 1)))
    np.testing.assert_array_equal(out[0, 2:-2, 2:-2, 0], np.full((8, 8), 4.0))


def test_half_precision_gives_float32():
    model = autoencoder.convolutional((8, 8, 1), channels=(2,), latent_dim=3, dtype="bfloat16")
    image = jnp.zeros((2, 8, 8, 1))
    logits, variables = jax.eval_shape(model.init_with_output, KEY, image)
    assert logits.dtype == jnp.float32
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(variables["params"]))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (dict(name="autoencoder.dense", activation="rleu"), "did you mean 'relu'"),
        (dict(name="autoencoder.dense", code_activation="swish"), "valid: relu, tanh, sigmoid"),
        (dict(name="autoencoder.deep", latent_dim=0), "latent_dim=0"),
        (dict(name="autoencoder.deep", hidden=[4, 0]), "hidden"),
        (
            dict(name="autoencoder.convolutional", channels=[4, 4, 4]),
            r"channels=\(4, 4, 4\) halves 28x28 images 3 times: possible are \[1, 2\]",
        ),
        (dict(name="autoencoder.convolutional", channels=[]), "possible are"),
        (dict(name="autoencoder.dense", dtype="float8"), "dtype"),
    ],
)
def test_requests_that_are_not_understood(spec, message):
    with pytest.raises(ConfigError, match=message):
        config.build(spec, "library.models", "model", image_shape=DIGITS)


def test_odd_images_get_the_nearest_size():
    with pytest.raises(ConfigError, match=r"halves 7x9 images .* none; nearest size: 8x8"):
        autoencoder.convolutional((7, 9, 1), channels=(2, 2))
