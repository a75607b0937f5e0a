from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from library.config import ConfigError
from library.layers.stochastic_depth import StochasticDepth
from library.models.image import resnet
from library.models.image.wide_resnet import wide_resnet
from tests import often


@pytest.fixture
def x():
    return jax.random.normal(jax.random.key(0), (2, 6, 6, 16))


def randomized(variables):
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda p: jnp.float32(rng.uniform(0.1, 1, p.shape)), variables)


def convolution(x, kernel, stride, padding):
    """Convolves by loops over pixels, with PyTorch's symmetric padding, in float64."""
    x = np.pad(np.float64(x), ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    size = kernel.shape[0]
    rows, columns = ((side - size) // stride + 1 for side in x.shape[1:3])
    y = np.zeros((len(x), rows, columns, kernel.shape[-1]))
    for i in range(rows):
        for j in range(columns):
            window = x[:, i * stride : i * stride + size, j * stride : j * stride + size]
            y[:, i, j] = np.tensordot(window, np.float64(kernel), axes=3)
    return y


def batch_norm(x, params, stats):
    scale = params["scale"] / np.sqrt(np.float64(stats["var"]) + 1e-5)
    return (x - stats["mean"]) * scale + params["bias"]


def apply(module):
    return jax.jit(module.apply, static_argnums=2)


def relu(x):
    return np.maximum(x, 0)


@pytest.mark.parametrize("stride", [1, 2])
def test_bottleneck_of_version_1_is_torchvisions(x, stride):
    block = resnet.Block("bottleneck", 3, stride, "projection")
    variables = randomized(jax.eval_shape(partial(block.init, train=False), jax.random.key(0), x))
    p, s = variables["params"], variables["batch_stats"]
    y = convolution(x, p["conv1"]["kernel"], 1, 0)
    y = relu(batch_norm(y, p["norm1"], s["norm1"]))
    y = convolution(y, p["conv2"]["kernel"], stride, 1)
    y = relu(batch_norm(y, p["norm2"], s["norm2"]))
    y = batch_norm(convolution(y, p["conv3"]["kernel"], 1, 0), p["norm3"], s["norm3"])
    shortcut = convolution(x, p["shortcut_conv"]["kernel"], stride, 0)
    shortcut = batch_norm(shortcut, p["shortcut_norm"], s["shortcut_norm"])
    np.testing.assert_allclose(apply(block)(variables, x, False), relu(y + shortcut), rtol=2e-5)


@pytest.mark.parametrize("stride", [1, 2])
def test_basic_block_of_version_2_projects_the_rectified(x, stride):
    block = resnet.PreactivationBlock("basic", 3, stride, "projection")
    variables = randomized(jax.eval_shape(partial(block.init, train=False), jax.random.key(0), x))
    p, s = variables["params"], variables["batch_stats"]
    first = relu(batch_norm(np.float64(x), p["norm1"], s["norm1"]))
    y = convolution(first, p["conv1"]["kernel"], stride, 1)
    y = relu(batch_norm(y, p["norm2"], s["norm2"]))
    y = convolution(y, p["conv2"]["kernel"], 1, 1)
    y += convolution(first, p["shortcut_conv"]["kernel"], stride, 0)
    np.testing.assert_allclose(apply(block)(variables, x, False), y, rtol=2e-5)


def test_option_a_takes_every_second_pixel_and_pads_channels_on_both_sides(x):
    block = resnet.Block("basic", 32, 2, "pad", zero_init=True)
    variables = block.init(jax.random.key(0), x, False)
    assert set(variables["params"]) == {"conv1", "conv2", "norm1", "norm2"}
    y = np.asarray(block.apply(variables, x, False))
    np.testing.assert_array_equal(y[..., 8:24], relu(np.asarray(x)[:, ::2, ::2]))
    np.testing.assert_array_equal(y[..., :8], 0)
    np.testing.assert_array_equal(y[..., 24:], 0)


@pytest.mark.parametrize(
    ("module", "norm", "last"),
    [
        (resnet.Block, "batch", "norm2"),
        (resnet.Block, "group", "norm2"),
        (resnet.PreactivationBlock, "batch", "conv2"),
    ],
)
def test_zero_init_block_is_the_identity_and_can_learn(x, module, norm, last):
    x = jax.nn.relu(x)
    block = module("basic", 16, 1, "pad", norm=norm, zero_init=True)
    variables = jax.jit(block.init, static_argnums=2)(jax.random.key(0), x, False)
    np.testing.assert_array_equal(apply(block)(variables, x, False), x)

    def loss(params):
        y, _ = block.apply({**variables, "params": params}, x, True, mutable=["batch_stats"])
        return jnp.square(y - 1).sum()

    gradient = jax.jit(jax.grad(loss))(variables["params"])[last]
    assert all(abs(g).max() > 0 for g in jax.tree.leaves(gradient))


def test_without_zero_init_the_block_is_not_the_identity(x):
    x = jax.nn.relu(x)
    for module in (resnet.Block, resnet.PreactivationBlock):
        block = module("basic", 16, 1, "pad")
        y = block.apply(block.init(jax.random.key(0), x, False), x, False)
        assert abs(y - x).max() > 0.1


def test_imagenet_stem_is_torchvisions():
    model = resnet.resnet18(num_classes=3, width=4).clone(stage_sizes=(1,))
    image = jax.random.normal(jax.random.key(0), (1, 30, 33, 3))
    variables = jax.jit(model.init)(jax.random.key(1), image)
    y = convolution(image, variables["params"]["stem_conv"]["kernel"], 2, 3)
    y = relu(y / np.sqrt(1 + 1e-5))
    y = np.pad(y, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    rows, columns = ((side - 3) // 2 + 1 for side in y.shape[1:3])
    pooled = [
        [y[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3].max((1, 2)) for j in range(columns)]
        for i in range(rows)
    ]
    expected = np.stack([np.stack(row, 1) for row in pooled], 1)
    # The block starts as the identity.
    _, recorded = model.apply(variables, image, mutable=["intermediates"])
    np.testing.assert_allclose(recorded["intermediates"]["stage1"], expected, atol=2e-5)


@pytest.mark.full
def test_stages_halve_and_widen():
    def shapes(model, size):
        image = jnp.zeros((1, size, size, 3))
        _, variables = jax.eval_shape(
            lambda key: model.init_with_output(key, image, mutable=True), jax.random.key(0)
        )
        recorded = variables["intermediates"]
        return [recorded[name].shape[1:] for name in sorted(recorded) if "stage" in name]

    expected = [(56, 56, 256), (28, 28, 512), (14, 14, 1024), (7, 7, 2048)]
    assert shapes(resnet.resnet50(), 224) == expected
    assert shapes(resnet.resnet50_v2(), 224) == expected
    expected = [(32, 32, 64), (16, 16, 128), (8, 8, 256), (4, 4, 512)]
    assert shapes(resnet.resnet18(stem="cifar"), 32) == expected
    assert shapes(resnet.resnet110(), 32) == [(32, 32, 16), (16, 16, 32), (8, 8, 64)]
    assert shapes(wide_resnet(), 32) == [(32, 32, 160), (16, 16, 320), (8, 8, 640)]


def test_wrn_with_a_hundred_classes_has_the_papers_count():
    model = wide_resnet(num_classes=100)
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    assert sum(p.size for p in jax.tree.leaves(variables["params"])) == 36_536_884


def test_dropout_of_wide_resnet_precedes_the_last_convolution(x):
    block = resnet.PreactivationBlock("basic", 16, 1, "pad", zero_init=True, dropout=0.5)
    variables = block.init(jax.random.key(0), x, False)
    rngs = {"dropout": jax.random.key(1)}
    y, _ = block.apply(variables, x, True, mutable=["batch_stats"], rngs=rngs)
    # The last convolution is zero, so a dropout after it, or before the sum, would not be seen;
    # one on the identity path would.
    np.testing.assert_array_equal(y, x)
    variables = jax.tree.map(lambda v: v + 0.1, variables)
    first, second = (
        block.apply(variables, x, True, mutable=["batch_stats"], rngs={"dropout": key})[0]
        for key in jax.random.split(jax.random.key(2))
    )
    assert abs(first - second).max() > 1e-3


@pytest.mark.full
@pytest.mark.parametrize("factory", often.first(1, [resnet.resnet20, resnet.resnet20_v2]))
def test_remat_changes_neither_params_nor_results(factory):
    image = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
    results = []
    for remat in (False, True):
        model = factory(num_classes=3, width=2, remat=remat)
        variables = jax.jit(model.init)(jax.random.key(1), image)

        def loss(params, model=model, variables=variables):
            variables = {**variables, "params": params}
            logits, updated = model.apply(variables, image, True, mutable=["batch_stats"])
            return jnp.square(logits).sum(), updated

        results.append(
            (variables, jax.jit(jax.value_and_grad(loss, has_aux=True))(variables["params"]))
        )
    plain, remat = (flatten_dict(jax.tree.map(np.asarray, r[0])) for r in results)
    assert plain.keys() == remat.keys()
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), *results)


def test_convolutions_start_with_hes_variance():
    block = resnet.Block("basic", 128, 2, "projection")
    params = block.init(jax.random.key(0), jnp.zeros((1, 2, 2, 32)), False)["params"]
    for name, fan_out in (("conv1", 9 * 128), ("conv2", 9 * 128), ("shortcut_conv", 128)):
        kernel = params[name]["kernel"]
        # Four standard deviations of a standard deviation of so many draws.
        allowed = 4 / (2 * kernel.size) ** 0.5
        assert float(kernel.std()) == pytest.approx((2 / fan_out) ** 0.5, rel=allowed)


@pytest.mark.parametrize("factory", [resnet.resnet50, resnet.resnet50_v2])
def test_rates_of_stochastic_depth_grow_from_the_first_to_the_last_block(factory):
    seen = {}

    def note(next_function, args, kwargs, context):
        if isinstance(context.module, StochasticDepth):
            seen["/".join(context.module.path)] = context.module.rate
        return next_function(*args, **kwargs)

    image = jnp.zeros((1, 32, 32, 3))
    plain, dropped = factory(width=1), factory(width=1, drop_path=0.05)
    with nn.intercept_methods(note):
        shapes = jax.eval_shape(plain.init, jax.random.key(0), image)
        assert not seen
        assert jax.eval_shape(dropped.init, jax.random.key(0), image) == shapes
    # The first block has a rate of 0, and so no layer for it.
    names = [f"stage{s}_block{i + 1}" for s, n in enumerate((3, 4, 6, 3), 1) for i in range(n)]
    assert list(seen) == [f"{block}/drop_path" for block in names[1:]]
    np.testing.assert_allclose(list(seen.values()), [0.05 * i / 15 for i in range(1, 16)])
    with pytest.raises(ConfigError, match=r"drop_path=1\.0"):
        factory(drop_path=1.0)


@pytest.mark.parametrize("module", [resnet.Block, resnet.PreactivationBlock])
def test_a_dropped_residual_leaves_the_shortcut(x, module):
    x = jnp.abs(x)
    block = module("basic", 16, 1, "projection", drop_path=0.5)
    variables = block.init(jax.random.key(0), x, False)
    apply = jax.jit(partial(block.apply, variables, x, True, mutable=["batch_stats"]))
    whole = module("basic", 16, 1, "projection").apply(variables, x, True, mutable=["batch_stats"])
    residual = np.asarray(whole[0] - x)
    kinds = set()
    for seed in range(8):
        y = np.asarray(apply(rngs={"dropout": jax.random.key(seed)})[0])
        for example in range(len(x)):
            dropped = np.array_equal(y[example], np.asarray(x)[example])
            kinds.add(dropped)
            if not dropped and module is resnet.PreactivationBlock:
                expected = np.asarray(x)[example] + 2 * residual[example]
                np.testing.assert_allclose(y[example], expected, rtol=1e-4, atol=1e-4)
    assert kinds == {True, False}
