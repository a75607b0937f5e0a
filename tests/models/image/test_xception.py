import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError, build
from library.models.image.xception import Block, xception
from tests import sizes

# Figure 5: side of the grid, channels.
MODULES = {
    "conv1": (149, 32),
    "conv2": (147, 64),
    "block1": (74, 128),
    "block2": (37, 256),
    "block3": (19, 728),
    **{f"block{i}": (19, 728) for i in range(4, 12)},
    "block12": (10, 1024),
    "conv3": (10, 1536),
    "conv4": (10, 2048),
}
STAGES = {
    "stage1": (147, 147, 64),
    "stage2": (74, 74, 128),
    "stage3": (37, 37, 256),
    "stage4": (19, 19, 728),
    "stage5": (10, 10, 2048),
    "features": (2048,),
}


def test_params_and_outputs_of_the_modules_are_the_papers():
    logits, params, recorded = sizes.traced(xception(), 299)
    assert logits == (1000,)
    assert params == 22_855_952
    made = {name: recorded[name]["__call__"][0] for name in MODULES}
    assert made == {name: (side, side, c) for name, (side, c) in MODULES.items()}
    assert {name: recorded[name] for name in STAGES} == STAGES


def separable(x, params):
    """Convolves by loops over pixels, in float64: each channel, then across channels."""
    padded = np.pad(np.float64(x), ((0, 0), (1, 1), (1, 1), (0, 0)))
    y = np.zeros(x.shape)
    for i in range(x.shape[1]):
        for j in range(x.shape[2]):
            window = padded[:, i : i + 3, j : j + 3]
            y[:, i, j] = (window * params["depthwise"]["kernel"][:, :, 0]).sum((1, 2))
    return y @ params["pointwise"]["kernel"][0, 0]


def batch_norm(x, params, stats):
    scale = params["scale"] / np.sqrt(np.float64(stats["var"]) + 1e-5)
    return (x - stats["mean"]) * scale + params["bias"]


def pooled(x):
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    sides = [(side - 1) // 2 + 1 for side in x.shape[1:3]]
    y = np.zeros((len(x), *sides, x.shape[-1]))
    for i in range(sides[0]):
        for j in range(sides[1]):
            y[:, i, j] = padded[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3].max((1, 2))
    return y


@pytest.mark.parametrize("start_with_relu", [True, False])
@pytest.mark.parametrize(("stride", "widths"), [(2, (3, 4)), (1, (2, 2))])
def test_a_block_by_hand(start_with_relu, stride, widths):
    block = Block(widths, stride, start_with_relu)
    random = np.random.default_rng(0)
    x = np.float32(random.standard_normal((2, 5, 6, 2)))
    shapes = jax.eval_shape(lambda: block.init(jax.random.key(0), jnp.asarray(x), False))
    variables = jax.tree.map(lambda s: np.float32(random.uniform(-0.5, 1, s.shape)), shapes)
    variables["batch_stats"] = jax.tree.map(np.abs, variables["batch_stats"])
    p, s = variables["params"], variables["batch_stats"]
    y = separable(np.maximum(x, 0) if start_with_relu else x, p["conv1"])
    y = np.maximum(batch_norm(y, p["norm1"], s["norm1"]), 0)
    y = batch_norm(separable(y, p["conv2"]), p["norm2"], s["norm2"])
    if stride == 1:
        assert "shortcut_conv" not in p
        expected = x + y
    else:
        shortcut = np.float64(x[:, ::2, ::2]) @ p["shortcut_conv"]["kernel"][0, 0]
        expected = batch_norm(shortcut, p["shortcut_norm"], s["shortcut_norm"]) + pooled(y)
    got = jax.jit(block.apply, static_argnums=2)(variables, x, False)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5 * abs(expected).max())


def test_which_blocks_have_a_shortcut_and_which_a_third_convolution():
    model = xception(num_classes=2)
    image = jnp.zeros((1, 32, 32, 3))
    _, variables = jax.eval_shape(
        lambda: model.init_with_output(jax.random.key(0), image, mutable=True)
    )
    blocks = {name: p for name, p in variables["params"].items() if name.startswith("block")}
    with_shortcut = {name for name, p in blocks.items() if "shortcut_conv" in p}
    assert with_shortcut == {"block1", "block2", "block3", "block12"}
    assert {name for name, p in blocks.items() if "conv3" in p} == {
        f"block{i}" for i in range(4, 12)
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(num_classes=0), "num_classes=0"),
        (dict(dropout=1.0), "dropout=1.0"),
        (dict(dtype="f16"), "dtype 'f16'"),
    ],
)
def test_a_misunderstood_argument_builds_nothing(arguments, message):
    with pytest.raises(ConfigError, match=message):
        build(dict(name="xception", **arguments), "library.models", "model")
