import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from library.config import ConfigError, build
from library.models.image import alexnet
from library.weights import costs
from library.weights.catalogue import find
from tests import sizes


def outputs(name, size=224):
    return {row.path: row for row in costs.layers(find(name), size)}


# Section 3.5: kernels as written there, the params that follow, units where they are counted.
PAPER = {
    "conv1": ((55, 55, 96), 11 * 11 * 3 * 96 + 96),
    "conv2": ((27, 27, 256), 5 * 5 * 48 * 256 + 256),
    "conv3": ((13, 13, 384), 3 * 3 * 256 * 384 + 384),
    "conv4": ((13, 13, 384), 3 * 3 * 192 * 384 + 384),
    "conv5": ((13, 13, 256), 3 * 3 * 192 * 256 + 256),
    "fc6": ((4096,), 6 * 6 * 256 * 4096 + 4096),
    "fc7": ((4096,), 4096 * 4096 + 4096),
    "head": ((1000,), 4096 * 1000 + 1000),
}
UNITS = dict(conv2=186_624, conv3=64_896, conv4=64_896, conv5=43_264, fc6=4096, fc7=4096, head=1000)


@pytest.mark.parametrize("size", [224, 227])
def test_layers_of_two_towers_are_the_papers(size):
    rows = outputs("alexnet_2012", size)
    assert {name: (row.shape, row.params) for name, row in rows.items()} == PAPER
    assert sum(row.params for row in rows.values()) == 60_965_224
    assert {name: math.prod(rows[name].shape) for name in UNITS} == UNITS


def test_layers_of_one_tower():
    rows = outputs("alexnet")
    assert [rows[f"conv{i}"].shape for i in range(1, 6)] == [
        *((55, 55, 64), (27, 27, 192), (13, 13, 384), (13, 13, 256), (13, 13, 256)),
    ]
    assert sum(row.params for row in rows.values()) == 61_100_840


def drawn(model, image):
    """Returns variables without compiling the model's own initialization."""
    shapes = jax.eval_shape(model.init, jax.random.key(1), image)
    random = np.random.default_rng(1)
    return jax.tree.map(lambda p: np.float32(0.02 * random.standard_normal(p.shape)), shapes)


def lrn(x):
    squares = np.pad(x**2, ((0, 0), (0, 0), (0, 0), (2, 2)))
    total = sum(squares[..., i : i + x.shape[-1]] for i in range(5))
    return x / (2 + 1e-4 * total) ** 0.75


def pool(x):
    rows, columns = ((side - 3) // 2 + 1 for side in x.shape[1:3])
    ends = [
        [x[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3].max((1, 2)) for j in range(columns)]
        for i in range(rows)
    ]
    return np.stack([np.stack(row, 1) for row in ends], 1)


def towers(x, params, name, padding, stride=1, split=True):
    """Convolves and rectifies; each tower has half of the kernels and sees half of the channels."""
    kernel, bias = params[name]["kernel"], params[name]["bias"]
    halves = np.split(x, 2, -1) if split else (x, x)
    numbers = ("NHWC", "HWIO", "NHWC")
    made = [
        lax.conv_general_dilated(
            half, k, (stride, stride), [(padding, padding)] * 2, dimension_numbers=numbers
        )
        for half, k in zip(halves, np.split(np.asarray(kernel), 2, -1))
    ]
    return np.maximum(np.concatenate(made, -1) + np.asarray(bias), 0)


def test_two_towers_layer_by_layer():
    image = 60 * jax.random.normal(jax.random.key(0), (1, 67, 67, 3))
    model = alexnet.alexnet_2012(num_classes=5, hidden_size=4)
    variables = drawn(model, image)
    params = variables["params"]
    x = lrn(towers(np.asarray(image), params, "conv1", 0, stride=4, split=False))
    stages = {"stage1": x}
    x = lrn(towers(pool(x), params, "conv2", 2))
    stages["stage2"] = x
    x = towers(pool(x), params, "conv3", 1, split=False)
    x = towers(x, params, "conv4", 1)
    x = towers(x, params, "conv5", 1)
    stages["stage3"] = x
    # A single pixel is left, which is repeated 6 by 6 times.
    x = np.tile(pool(x), (1, 6, 6, 1)).reshape(1, -1)
    for name in ("fc6", "fc7"):
        x = np.maximum(x @ params[name]["kernel"] + params[name]["bias"], 0)
    stages["features"] = x
    expected = x @ params["head"]["kernel"] + params["head"]["bias"]
    apply = jax.jit(lambda v, x: model.apply(v, x, mutable=["intermediates"]))
    logits, recorded = apply(variables, image)
    for name, stage in stages.items():
        np.testing.assert_allclose(recorded["intermediates"][name], stage, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-6)


def test_224_is_padded_to_227_at_both_ends():
    image = jax.random.normal(jax.random.key(0), (1, 224, 224, 1))
    model = alexnet.alexnet_2012(num_classes=2, hidden_size=1)
    variables = drawn(model, image)
    apply = jax.jit(model.apply)
    padded = jnp.pad(image, ((0, 0), (2, 1), (2, 1), (0, 0)))
    np.testing.assert_allclose(apply(variables, image), apply(variables, padded), rtol=1e-6)


def test_biases_and_kernels_of_the_paper_at_the_start():
    model = alexnet.alexnet_2012(num_classes=3, hidden_size=16)
    params = jax.jit(model.init)(jax.random.key(1), jnp.zeros((1, 64, 64, 3)))["params"]
    ones = {name for name, layer in params.items() if (layer["bias"] == 1).all()}
    zeros = {name for name, layer in params.items() if (layer["bias"] == 0).all()}
    assert ones == {"conv2", "conv4", "conv5", "fc6", "fc7"}
    assert zeros == {"conv1", "conv3", "head"}
    assert float(params["conv3"]["kernel"].std()) == pytest.approx(0.01, rel=0.01)


@pytest.mark.parametrize(("factory", "dead"), [(alexnet.alexnet, 0), (alexnet.alexnet_2012, 0.9)])
def test_dropout_is_before_the_hidden_layers_in_one_and_after_them_in_two_towers(factory, dead):
    image = jax.random.normal(jax.random.key(0), (1, 64, 64, 3))
    model = factory(num_classes=3, hidden_size=200, dropout=0.9)
    variables = drawn(model, image)
    # Whatever is not dropped is then positive.
    variables["params"]["fc7"]["bias"][:] = 1e6

    @jax.jit
    def features(variables, image, key):
        options = dict(mutable=["intermediates"], rngs={"dropout": key})
        return model.apply(variables, image, True, **options)[1]["intermediates"]["features"]

    dropped = features(variables, image, jax.random.key(2)) == 0
    assert float(dropped.mean()) == pytest.approx(dead, abs=0.1)


def test_the_stem_for_small_images():
    model = alexnet.alexnet(num_classes=10, hidden_size=256, stem="cifar", width_multiplier=0.5)
    assert sizes.shapes(model, 32) == {
        "stage1": (16, 16, 32),
        "stage2": (7, 7, 96),
        "stage3": (3, 3, 128),
        "features": (256,),
    }
    kernels = 5 * 5 * (3 * 32 + 32 * 96) + 3 * 3 * (96 * 192 + 192 * 128 + 128 * 128)
    dense = 128 * 256 + 256 * 256 + 256 * 10
    biases = 32 + 96 + 192 + 2 * 128 + 2 * 256 + 10
    assert sizes.parameters(model, 32) == kernels + dense + biases
    assert sizes.shapes(model, 29)["stage3"] == (3, 3, 128)


@pytest.mark.parametrize(("name", "size"), [("alexnet.alexnet", 63), ("alexnet.alexnet_2012", 64)])
def test_types(name, size):
    model = build(dict(name=name, num_classes=3, dtype="bfloat16"), "library.models", "model")
    image = jnp.zeros((1, size, size, 3))
    logits, variables = jax.eval_shape(
        lambda: model.init_with_output(
            jax.random.key(0), image, mutable=["params", "intermediates"]
        )
    )
    assert logits.dtype == jnp.float32
    assert variables["intermediates"]["features"].dtype == jnp.bfloat16
    assert variables["params"]["fc6"]["kernel"].dtype == jnp.float32


def test_a_stem_or_a_width_that_there_is_not():
    with pytest.raises(ConfigError, match=r"stem 'cifar10': .*cifar"):
        alexnet.alexnet(stem="cifar10")
    with pytest.raises(ConfigError, match="width_multiplier=0"):
        alexnet.alexnet(width_multiplier=0.0)


@pytest.mark.parametrize("name", ["alexnet", "alexnet.alexnet_2012"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(num_classes=0), "num_classes=0"),
        (dict(hidden_size=0), "hidden_size=0"),
        (dict(dropout=1.0), "dropout=1.0"),
        (dict(dtype="f16"), "dtype 'f16'"),
    ],
)
def test_a_misunderstood_argument_builds_nothing(name, arguments, message):
    with pytest.raises(ConfigError, match=message):
        build(dict(name=name, **arguments), "library.models", "model")
