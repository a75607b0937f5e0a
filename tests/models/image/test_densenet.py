import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError, build
from library.models.image import densenet
from library.weights import densenet as tables
from library.weights.drawn import zeros
from library.weights.mapping import published_as
from tests import often


def made(model, size, **options):
    image = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)
    keys = {name: jax.random.key(0) for name in ("params", "dropout")}
    return jax.eval_shape(lambda x: model.init_with_output(keys, x, mutable=True, **options), image)


# Depth, params, and the channels after each block (table 1; sides halve from 56, and from 32).
@pytest.mark.parametrize(
    ("name", "depth", "params", "channels"),
    often.first(
        1,
        [
            ("densenet121", 121, 7_978_856, (256, 512, 1024, 1024)),
            ("densenet161", 161, 28_681_000, (384, 768, 2112, 2208)),
            ("densenet169", 169, 14_149_480, (256, 512, 1280, 1664)),
            ("densenet201", 201, 20_013_928, (256, 512, 1792, 1920)),
            ("densenet40", 40, 1_019_722, (160, 304, 448)),
            ("densenet_bc100", 100, 769_162, (216, 300, 342)),
            ("densenet_bc190", 190, 25_624_430, (1320, 1900, 2190)),
            ("densenet_bc250", 250, 15_324_406, (1032, 1500, 1734)),
        ],
    ),
)
def test_params_and_outputs_of_the_blocks_are_the_papers(name, depth, params, channels):
    model = build(dict(name=f"densenet.{name}"), "library.models", "model")
    for_imagenet = len(channels) == 4
    logits, variables = made(model, 224 if for_imagenet else 32)
    assert logits.shape == (2, 1000 if for_imagenet else 10)
    leaves = jax.tree.leaves(variables["params"])
    assert sum(math.prod(leaf.shape) for leaf in leaves) == params
    # Counted are the convolutions and the dense layer.
    assert sum(len(leaf.shape) > 1 for leaf in leaves) == depth
    side = 56 if for_imagenet else 32
    stages = {f"stage{i + 1}": (2, side >> i, side >> i, c) for i, c in enumerate(channels)}
    recorded = {name: x.shape for name, x in variables["intermediates"].items()}
    assert recorded == {**stages, "features": (2, channels[-1])}


def variables_of(module, x, low=-0.5):
    random = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), jnp.asarray(x), False))
    variables = jax.tree.map(lambda s: np.float32(random.uniform(low, 1, s.shape)), shapes)
    variables["batch_stats"] = jax.tree.map(np.abs, variables["batch_stats"])
    return variables


def rectified(x, variables, name):
    p, s = (variables[kind][name] for kind in ("params", "batch_stats"))
    scale = p["scale"] / np.sqrt(np.float64(s["var"]) + 1e-5)
    return np.maximum((x - s["mean"]) * scale + p["bias"], 0)


def convolved(x, kernel):
    """Convolves by loops over pixels, with zeros on all sides, in float64."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    y = np.zeros((*x.shape[:3], kernel.shape[-1]))
    for i in range(x.shape[1]):
        for j in range(x.shape[2]):
            y[:, i, j] = np.tensordot(padded[:, i : i + 3, j : j + 3], kernel, axes=3)
    return y


@pytest.mark.parametrize("bottleneck", [False, True])
def test_a_layer_puts_its_channels_behind_those_it_sees(bottleneck):
    layer = densenet.Layer(2, bottleneck)
    x = np.float32(np.random.default_rng(1).standard_normal((2, 4, 3, 5)))
    variables = variables_of(layer, x)
    p = variables["params"]
    y = rectified(np.float64(x), variables, "norm1")
    if bottleneck:
        assert p["conv1"]["kernel"].shape == (1, 1, 5, 8)
        y = rectified(y @ p["conv1"]["kernel"][0, 0], variables, "norm2")
    y = convolved(y, p["conv2" if bottleneck else "conv1"]["kernel"])
    expected = np.concatenate([x, y], -1)
    got = jax.jit(layer.apply, static_argnums=2)(variables, x, False)
    np.testing.assert_array_equal(got[..., :5], x)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5 * abs(expected).max())


def test_a_transition_averages_squares():
    transition = densenet.Transition(3)
    x = np.float32(np.random.default_rng(1).standard_normal((2, 4, 7, 5)))
    variables = variables_of(transition, x)
    y = rectified(np.float64(x), variables, "norm") @ variables["params"]["conv"]["kernel"][0, 0]
    expected = y[:, :, :6].reshape(2, 2, 2, 3, 2, 3).mean((2, 4))
    got = jax.jit(transition.apply, static_argnums=2)(variables, x, False)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5 * abs(expected).max())


def in_training(module, x):
    variables = variables_of(module, x, low=0.1)
    key = {"dropout": jax.random.key(0)}
    apply = jax.jit(lambda v: module.apply(v, x, True, mutable=True, rngs=key)[0])
    return np.asarray(apply(variables))


def test_dropout_follows_the_convolution():
    x = jnp.ones((1, 2, 2, 3))
    dropped, kept = (
        in_training(densenet.Transition(900, rate), x)[0, 0, 0] for rate in (0.25, 0.0)
    )
    # The mean of four, of which each was dropped or divided by 3/4.
    share = np.bincount((3 * dropped / kept).round().astype(int), minlength=5) / 900
    expected = np.array([math.comb(4, i) * 0.75**i * 0.25 ** (4 - i) for i in range(5)])
    assert (abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / 900)).all()
    new = in_training(densenet.Layer(400, True, 0.25), x)[..., 3:]
    assert abs((new == 0).mean() - 0.25) < 4 * math.sqrt(0.25 * 0.75 / new.size)


def test_remat_changes_neither_params_nor_gradients():
    image = jax.random.normal(jax.random.key(0), (2, 4, 4, 3))
    results = []
    for remat in (False, True):
        model = densenet.DenseNet(3, (1,), 2, "cifar", stem_width=2, remat=remat)
        variables = variables_of(model, image)

        def loss(params, model=model, stats=variables["batch_stats"]):
            return model.apply({"params": params, "batch_stats": stats}, image)[:, 0].sum()

        results.append((variables, jax.jit(jax.grad(loss))(variables["params"])))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), *results)


def test_the_stem_for_small_images_keeps_their_size():
    model = densenet.DenseNet(5, (1, 1), 2, "cifar")
    _, variables = made(model, 8)
    assert variables["intermediates"]["stage1"].shape == (2, 8, 8, 6)
    assert variables["params"]["stem_conv"]["kernel"].shape == (3, 3, 3, 4)
    assert "stem_norm" not in variables["params"]
    assert densenet.densenet121(stem="cifar").stem == "cifar"


def test_one_of_any_size_and_the_strided_stem():
    model = densenet.densenet(block_sizes=(2, 3), growth=4, stem="strided", compression=1.0)
    _, variables = made(model, 32)
    recorded = {name: x.shape[1:] for name, x in variables["intermediates"].items()}
    assert recorded == {"stage1": (16, 16, 16), "stage2": (8, 8, 28), "features": (28,)}
    # The defaults are DenseNet-BC-100-12, which reads like one network of this kind.
    assert densenet.densenet() == densenet.densenet_bc100()


def test_names_of_torchvision_and_of_its_files():
    model = densenet.DenseNet(5, (1, 2), 2, "imagenet")
    variables = zeros(made(model, 16)[1])
    variables.pop("intermediates")
    names, in_files = (
        published_as(variables, rules) for rules in (tables.RULES, tables.TORCHVISION_FILE_RULES)
    )
    layer = "features.denseblock2.denselayer1"
    assert {f"{layer}.norm2.running_var", f"{layer}.conv1.weight"} <= set(names)
    assert {f"{layer}.norm.2.running_var", f"{layer}.conv.1.weight"} <= set(in_files)
    assert {re.sub(r"(layer\d\.\w+)\.(\d)", r"\1\2", name) for name in in_files} == set(names)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(name="densenet.densenet121", stem="cifar10"), "stem 'cifar10': .*cifar"),
        (dict(name="densenet.densenet121", num_classes=0), "num_classes=0"),
        (dict(name="densenet.densenet40", growth=0), "growth=0"),
        (dict(name="densenet", block_sizes=()), r"block_sizes=\(\)"),
        (dict(name="densenet", compression=0.0), "compression=0"),
        (dict(name="densenet.densenet40", dropout=1.0), "dropout=1.0"),
        (dict(name="densenet.densenet_bc100", dtype="f16"), "dtype 'f16'"),
    ],
)
def test_a_misunderstood_argument_builds_nothing(arguments, message):
    with pytest.raises(ConfigError, match=message):
        build(arguments, "library.models", "model")
