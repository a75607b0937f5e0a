import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from library.config import ConfigError, build
from library.models.image import googlenet

# Table 1 of the paper: rows and columns, channels.
MODULES = {
    "conv1": (112, 64),
    "conv2": (56, 64),
    "conv3": (56, 192),
    "inception3a": (28, 256),
    "inception3b": (28, 480),
    "inception4a": (14, 512),
    "inception4b": (14, 512),
    "inception4c": (14, 512),
    "inception4d": (14, 528),
    "inception4e": (14, 832),
    "inception5a": (7, 832),
    "inception5b": (7, 1024),
}


def shapes_of(model, size=224, mutable=True, **options):
    image = jnp.zeros((2, size, size, 3))
    return jax.eval_shape(
        lambda: model.init_with_output(jax.random.key(0), image, mutable=mutable, **options)
    )


def count(variables):
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(variables["params"]))


@pytest.mark.parametrize(
    ("name", "aux", "expected"),
    [
        ("googlenet", False, 6_624_904),
        ("googlenet", True, 13_004_888),
        ("googlenet_2014", False, 6_998_552),
        ("googlenet_2014", True, 13_378_280),
    ],
)
def test_params(name, aux, expected):
    _, variables = shapes_of(getattr(googlenet, name)(aux=aux))
    assert count(variables) == expected
    assert ("batch_stats" in variables) == (name == "googlenet")


@pytest.mark.parametrize("original", [False, True])
def test_outputs_of_the_modules_are_the_papers(original):
    model = googlenet.GoogLeNet(original=original)
    image = jnp.zeros((2, 224, 224, 3))
    _, variables = jax.eval_shape(
        lambda: model.init_with_output(
            jax.random.key(0), image, mutable=True, capture_intermediates=True
        )
    )
    made = {name: variables["intermediates"][name]["__call__"][0].shape for name in MODULES}
    assert made == {name: (2, side, side, c) for name, (side, c) in MODULES.items()}


@pytest.mark.parametrize("name", ["googlenet.googlenet", "googlenet.googlenet_2014"])
@pytest.mark.parametrize("train", [False, True])
def test_records_and_types(name, train):
    spec = dict(name=name, num_classes=5, aux=True, dtype="bfloat16")
    model = build(spec, "library.models", "model")
    _, variables = shapes_of(model, mutable=["params", "batch_stats"])
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}

    def apply(variables, image, key):
        mutable = ["intermediates", "batch_stats"]
        return model.apply(variables, image, train, mutable=mutable, rngs={"dropout": key})

    image = jnp.zeros((2, 224, 224, 3))
    logits, updated = jax.eval_shape(apply, variables, image, jax.random.key(0))
    recorded = updated["intermediates"]
    auxiliary = {"aux1_logits": (2, 5), "aux2_logits": (2, 5)} if train else {}
    assert {name: leaf.shape for name, leaf in recorded.items()} == {
        "stage1": (2, 112, 112, 64),
        "stage2": (2, 56, 56, 192),
        "stage3": (2, 28, 28, 480),
        "stage4": (2, 14, 14, 832),
        "stage5": (2, 7, 7, 1024),
        "features": (2, 1024),
        **auxiliary,
    }
    assert recorded["features"].dtype == jnp.bfloat16
    assert logits.dtype == jnp.float32


def rectified(x, layer, stride=1):
    kernel = layer["conv"]["kernel"]
    margin = (kernel.shape[0] - 1) // 2
    y = lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        [(margin, margin)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return np.maximum(np.asarray(y) + np.asarray(layer["conv"]["bias"]), 0)


def pool(x, stride):
    """Maxima of 3x3: padded on both sides at stride 1, reaching past the edge at stride 2."""
    rows, columns = (side if stride == 1 else -(-(side - 1) // 2) for side in x.shape[1:3])
    margins = (1, 1) if stride == 1 else (0, 1)
    x = np.pad(x, ((0, 0), margins, margins, (0, 0)), constant_values=-np.inf)
    starts = [[(stride * i, stride * j) for j in range(columns)] for i in range(rows)]
    ends = [[x[:, i : i + 3, j : j + 3].max((1, 2)) for i, j in row] for row in starts]
    return np.stack([np.stack(row, 1) for row in ends], 1)


def lrn(x):
    """Caffe's, with its constants in bvlc_googlenet."""
    squares = np.pad(x**2, ((0, 0), (0, 0), (0, 0), (2, 2)))
    total = sum(squares[..., i : i + x.shape[-1]] for i in range(5))
    return x / (1 + 1e-4 / 5 * total) ** 0.75


def test_the_original_up_to_its_first_module_layer_by_layer():
    image = 100 * jax.random.normal(jax.random.key(0), (1, 34, 31, 3))
    model = googlenet.googlenet_2014(num_classes=2)
    shapes = jax.eval_shape(model.init, jax.random.key(1), image)
    random = np.random.default_rng(1)
    variables = jax.tree.map(lambda p: np.float32(0.1 * random.standard_normal(p.shape)), shapes)
    p = variables["params"]
    first = rectified(image, p["conv1"], 2)
    second = lrn(rectified(rectified(lrn(pool(first, 2)), p["conv2"]), p["conv3"]))

    @jax.jit
    def apply(variables, image):
        mutable = ["intermediates"]
        _, made = model.apply(variables, image, mutable=mutable, capture_intermediates=True)
        made = made["intermediates"]
        # All that comes later is not even compiled.
        return made["stage1"], made["stage2"], made["inception3a"]["__call__"][0]

    stage1, stage2, module = apply(variables, image)
    np.testing.assert_allclose(stage1, first, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(stage2, second, rtol=1e-4, atol=1e-4)
    x, m = pool(second, 2), p["inception3a"]
    ends = [
        rectified(x, m["conv1x1"]),
        rectified(rectified(x, m["reduce3x3"]), m["conv3x3"]),
        rectified(rectified(x, m["reduce5x5"]), m["conv5x5"]),
        rectified(pool(x, 1), m["pool_projection"]),
    ]
    assert m["conv5x5"]["conv"]["kernel"].shape == (5, 5, 16, 32)
    np.testing.assert_allclose(module, np.concatenate(ends, -1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("name", "side"), [("googlenet", 4), ("googlenet_2014", 3)])
def test_the_last_pooling_is_2x2_with_batch_normalization_and_3x3_in_the_original(name, side):
    # Of 112x112 images stage 4 has 7x7 features.
    _, variables = shapes_of(getattr(googlenet, name)(), 112)
    assert variables["intermediates"]["stage5"].shape == (2, side, side, 1024)


@pytest.mark.parametrize(("stem", "side"), [("cifar", 32), ("strided", 16)])
def test_the_stems_for_small_images(stem, side):
    model = googlenet.googlenet(num_classes=10, stem=stem, width_multiplier=0.25)
    _, variables = shapes_of(model, 32)
    assert variables["params"]["conv1"]["conv"]["kernel"].shape == (3, 3, 3, 16)
    recorded = {name: x.shape[1:] for name, x in variables["intermediates"].items()}
    assert recorded == {
        "stage1": (side, side, 16),
        "stage2": (side, side, 48),
        "stage3": (side // 2, side // 2, 120),
        "stage4": (side // 4, side // 4, 208),
        "stage5": (side // 8, side // 8, 256),
        "features": (256,),
    }


def test_a_stem_or_a_width_that_there_is_not():
    with pytest.raises(ConfigError, match=r"stem 'cifar10': .*cifar"):
        googlenet.googlenet(stem="cifar10")
    with pytest.raises(ConfigError, match="width_multiplier=-1"):
        googlenet.googlenet(width_multiplier=-1.0)


@pytest.mark.parametrize("name", ["googlenet", "googlenet.googlenet_2014"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(num_classes=0), "num_classes=0"),
        (dict(dropout=1.0), "dropout=1.0"),
        (dict(aux_dropout=-1), "aux_dropout=-1"),
        (dict(dtype="f16"), "dtype 'f16'"),
    ],
)
def test_a_misunderstood_argument_builds_nothing(name, arguments, message):
    with pytest.raises(ConfigError, match=message):
        build(dict(name=name, **arguments), "library.models", "model")
