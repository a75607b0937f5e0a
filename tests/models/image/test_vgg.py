import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError, build
from library.models.image import vgg

PARAMS = {
    "vgg11": 132_863_336,
    "vgg13": 133_047_848,
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
    "vgg11_bn": 132_868_840,
    "vgg13_bn": 133_053_736,
    "vgg16_bn": 138_365_992,
    "vgg19_bn": 143_678_248,
}


def shapes_of(model, size, **options):
    image = jnp.zeros((2, size, size, 3))
    return jax.eval_shape(
        lambda: model.init_with_output(jax.random.key(0), image, mutable=True, **options)
    )


def count(variables):
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(variables["params"]))


@pytest.mark.parametrize("name", PARAMS)
def test_params_and_layers(name):
    logits, variables = shapes_of(build(dict(name=f"vgg.{name}"), "library.models", "model"), 224)
    assert logits.shape == (2, 1000)
    assert count(variables) == PARAMS[name]
    convs = [layer for layer in variables["params"] if "conv" in layer]
    assert len(convs) + 3 == int(name.removeprefix("vgg").removesuffix("_bn"))
    assert ("batch_stats" in variables) == name.endswith("_bn")


# The usual VGGs on CIFAR: one linear layer, or hidden ones of 512 or 4096.
@pytest.mark.parametrize(
    ("hidden_sizes", "num_classes", "expected"),
    [((), 10, 14_728_266), ((512, 512), 10, 15_253_578), ((4096, 4096), 100, 34_015_396)],
)
def test_params_of_vgg16_bn_on_cifar(hidden_sizes, num_classes, expected):
    model = vgg.vgg16_bn(num_classes, pool_size=1, hidden_sizes=hidden_sizes)
    logits, variables = shapes_of(model, 32)
    assert logits.shape == (2, num_classes)
    assert count(variables) == expected


@pytest.mark.parametrize("size", [32, 224])
def test_stages_are_recorded_before_they_are_pooled(size):
    _, variables = shapes_of(vgg.vgg11(width=4, hidden_sizes=(3, 2)), size)
    recorded = {name: leaf.shape[1:] for name, leaf in variables["intermediates"].items()}
    widths = (4, 8, 16, 32, 32)
    expected = {
        f"stage{i}": (size >> i - 1, size >> i - 1, width) for i, width in enumerate(widths, 1)
    }
    assert recorded == {**expected, "features": (2,)}


def test_a_grid_of_another_size_is_averaged_to_7x7_as_in_torchvision():
    image = jax.random.normal(jax.random.key(0), (1, 32, 32, 3))
    model = vgg.vgg11(num_classes=3, width=2, hidden_sizes=(5,))
    shapes = jax.eval_shape(model.init, jax.random.key(1), image)
    random = np.random.default_rng(1)
    variables = jax.tree.map(lambda p: np.float32(random.standard_normal(p.shape)), shapes)
    variables["params"]["fc1"]["bias"][:] = 0
    kernel = variables["params"]["fc1"]["kernel"]
    assert kernel.shape == (7 * 7 * 16, 5)
    apply = jax.jit(lambda v, x: model.apply(v, x, mutable=["intermediates"]))
    _, recorded = apply(variables, image)
    # The last features are 2x2, of which pooling leaves a pixel, which is repeated 7 by 7 times.
    pixel = np.asarray(recorded["intermediates"]["stage5"]).max((1, 2))
    expected = np.maximum(pixel @ kernel.reshape(49, 16, 5).sum(0), 0)
    np.testing.assert_allclose(recorded["intermediates"]["features"], expected, rtol=1e-4)


@pytest.mark.full
def test_dropout_follows_the_hidden_layers():
    image = jax.random.normal(jax.random.key(0), (1, 32, 32, 3))
    model = vgg.vgg11(num_classes=3, width=1, pool_size=1, hidden_sizes=(4, 400), dropout=0.75)
    variables = jax.jit(model.init)(jax.random.key(1), image)
    variables["params"]["fc2"]["bias"] = jnp.ones(400)
    rngs = {"dropout": jax.random.key(2)}
    _, recorded = model.apply(variables, image, True, mutable=["intermediates"], rngs=rngs)
    assert float((recorded["intermediates"]["features"] == 0).mean()) == pytest.approx(
        0.75, abs=0.1
    )


def test_kernels_at_the_start():
    model = vgg.vgg11(num_classes=50, width=8, pool_size=1, hidden_sizes=(64,))
    params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))["params"]
    kernel = params["stage4_conv2"]["kernel"]
    assert float(kernel.std()) == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.02)
    assert float(params["fc1"]["kernel"].std()) == pytest.approx(0.01, rel=0.05)
    assert float(params["head"]["kernel"].std()) == pytest.approx(0.01, rel=0.05)
    assert all((layer["bias"] == 0).all() for layer in params.values())


def test_types():
    model = vgg.vgg11_bn(num_classes=3, width=2, hidden_sizes=(4,), dtype="bfloat16")
    logits, variables = shapes_of(model, 32, train=False)
    assert logits.dtype == jnp.float32
    assert variables["intermediates"]["features"].dtype == jnp.bfloat16
    kept = (variables["params"], variables["batch_stats"])
    assert {leaf.dtype for leaf in jax.tree.leaves(kept)} == {jnp.dtype("float32")}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(num_classes=0), "num_classes=0"),
        (dict(hidden_sizes=(4096, 0)), "hidden_sizes"),
        (dict(pool_size=0), "pool_size=0"),
        (dict(width=0), "width=0"),
        (dict(dropout=-0.1), "dropout=-0.1"),
        (dict(dtype="f16"), "dtype 'f16'"),
    ],
)
def test_a_misunderstood_argument_builds_nothing(arguments, message):
    with pytest.raises(ConfigError, match=message):
        build(dict(name="vgg.vgg16_bn", **arguments), "library.models", "model")
