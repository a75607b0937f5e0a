import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.models.image.shufflenet_v1 import WIDTHS, Unit, shufflenet_v1
from library.weights.mapping import published_as
from library.weights.shufflenet_v1 import PUBLISHED, RULES
from tests import often, sizes


@pytest.mark.parametrize(
    ("groups", "millions", "width"),
    often.only(
        [(3, 137, 960)],
        [(1, 143, 576), (2, 140, 800), (3, 137, 960), (4, 133, 1088), (8, 137, 1536)],
    ),
)
def test_table_1(groups, millions, width):
    model = shufflenet_v1(groups=groups)
    layers = sizes.by_layer(model, 224)
    # The table counts all but the head.
    assert round((sum(layers.values()) - layers["head"]) / 1e6) == millions
    assert layers["head"] == 1000 * width
    assert sizes.shapes(model) == {
        "stage1": (56, 56, 24),
        "stage2": (28, 28, width // 4),
        "stage3": (14, 14, width // 2),
        "stage4": (7, 7, width),
        "features": (width,),
    }
    published = PUBLISHED[f"shufflenet_v1_g{groups}"]
    assert published.gflops == pytest.approx(2 * millions / 1000)
    assert sizes.parameters(model) == published.parameters


@pytest.mark.full
def test_other_scales():
    # Tables 5 and 2 of the paper: 2x (g = 3) and 0.5x (g = 3).
    assert round(sizes.millions(shufflenet_v1(scale=2.0))) == 524
    assert round(sizes.millions(shufflenet_v1(scale=0.5))) == 38
    assert sizes.parameters(shufflenet_v1(scale=0.5)) == 718_324


def test_only_the_first_1x1_convolution_is_not_grouped():
    model = shufflenet_v1(groups=4)
    params = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))["params"]
    kernels = {
        f"{name}/{layer}": leaves["kernel"].shape
        for name, unit in params.items()
        if "unit" in name
        for layer, leaves in unit.items()
        if "kernel" in leaves
    }
    assert len(kernels) == 3 * (4 + 8 + 4)
    assert kernels["stage2_unit1/compress"] == (1, 1, 24, 68)
    assert kernels["stage2_unit1/depthwise"] == (3, 3, 1, 68)
    assert kernels["stage2_unit1/expand"] == (1, 1, 17, 272 - 24)
    assert kernels["stage2_unit2/compress"] == (1, 1, 68, 68)
    assert kernels["stage2_unit2/expand"] == (1, 1, 17, 272)
    assert kernels["stage3_unit1/compress"] == (1, 1, 68, 136)
    assert kernels["stage3_unit1/expand"] == (1, 1, 34, 544 - 272)
    assert kernels["stage4_unit4/compress"] == (1, 1, 272, 272)


def grouped(x, kernel, groups):
    """Convolves 1x1 in groups, one after the other."""
    wide, narrow = kernel.shape[-1] // groups, kernel.shape[-2]
    parts = [
        x[..., i * narrow : (i + 1) * narrow] @ kernel[0, 0, :, i * wide : (i + 1) * wide]
        for i in range(groups)
    ]
    return np.concatenate(parts, -1)


def windows(x, stride):
    x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    side = (x.shape[1] - 3) // stride + 1
    return np.array(
        [
            [x[:, i * stride : i * stride + 3, j * stride : j * stride + 3] for j in range(side)]
            for i in range(side)
        ]
    ).transpose(2, 0, 1, 3, 4, 5)


@pytest.mark.parametrize(("stride", "features"), [(1, 12), (2, 24)])
def test_units_are_those_of_figure_2(stride, features):
    unit = Unit(features, stride, groups=3, first_groups=3)
    x = jax.random.normal(jax.random.key(0), (2, 6, 6, 12))
    shapes = jax.eval_shape(lambda: unit.init(jax.random.key(0), x, False))
    rng = np.random.default_rng(0)
    variables = jax.tree.map(lambda p: np.float32(rng.uniform(0.1, 1, p.shape)), shapes)
    p, s = jax.tree.map(np.float64, (variables["params"], variables["batch_stats"]))

    def normalized(y, name):
        y = (y - s[name]["mean"]) / np.sqrt(s[name]["var"] + 1e-5)
        return y * p[name]["scale"] + p[name]["bias"]

    z = np.float64(x)
    y = np.maximum(normalized(grouped(z, p["compress"]["kernel"], 3), "norm1"), 0)
    size = features // 12
    y = y[..., [i + j * size for i in range(size) for j in range(3)]]
    y = (windows(y, stride) * p["depthwise"]["kernel"][:, :, 0]).sum(axis=(3, 4))
    y = normalized(grouped(normalized(y, "norm2"), p["expand"]["kernel"], 3), "norm3")
    averaged = windows(z, 2).mean(axis=(3, 4))
    expected = y + z if stride == 1 else np.concatenate([y, averaged], -1)
    assert expected.shape[-1] == features
    np.testing.assert_allclose(
        unit.apply(variables, x, False), np.maximum(expected, 0), rtol=1e-5, atol=1e-5
    )


def test_names_elsewhere():
    model = shufflenet_v1()
    image = jnp.zeros((1, 32, 32, 3))
    shapes = jax.eval_shape(model.init, jax.random.key(0), image)
    variables = jax.tree.map(lambda x: np.zeros(x.shape, np.float32), shapes)
    named = published_as(variables, RULES)
    assert named["features.stage1.unit1.compress_conv1.weight"].shape == (60, 24, 1, 1)
    assert named["features.stage3.unit4.expand_conv3.weight"].shape == (960, 80, 1, 1)
    assert named["features.init_block.bn.running_var"].shape == (24,)
    assert named["output.weight"].shape == (1000, 960)
    # Each of the 49 normalizations has five entries, and each of the 49 convolutions one.
    assert len(named) == 49 * 6 + 2


def test_bfloat16():
    model = shufflenet_v1(num_classes=3, groups=8, dtype="bfloat16")
    image = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
    logits, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), image)
    assert (logits.shape, logits.dtype) == ((2, 3), jnp.float32)


def test_refused():
    with pytest.raises(ConfigError, match="groups 5") as raised:
        shufflenet_v1(groups=5)
    assert all(str(groups) in str(raised.value) for groups in WIDTHS)
    with pytest.raises(ConfigError, match=r"scale=0\.3 makes widths 7 and 72, 144, 288"):
        shufflenet_v1(scale=0.3)
