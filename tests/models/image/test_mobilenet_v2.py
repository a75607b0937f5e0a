import jax
import jax.numpy as jnp
import pytest

from library.config import ConfigError
from library.models.image.mobilenet_v2 import InvertedResidual, mobilenet_v2, rounded
from library.weights.mobilenet_v2 import PUBLISHED
from tests import sizes


def test_params_and_multiply_adds():
    model, published = mobilenet_v2(), PUBLISHED["mobilenet_v2"]
    assert sizes.parameters(model) == published.parameters
    assert 2 * sizes.millions(model) == pytest.approx(published.gflops * 1e3, abs=1)


@pytest.mark.full
def test_params_of_the_wide_one():
    # 6.9 million params and 585 million multiply-adds in table 4 of the paper, which counts other
    # layers, too; the exact ones follow from the rounding of widths.
    model = mobilenet_v2(width_multiplier=1.4)
    assert round(sizes.parameters(model) / 1e6, 1) == 6.1
    assert sizes.millions(model) == pytest.approx(585, rel=0.01)


def test_layers_of_table_2():
    assert sizes.shapes(mobilenet_v2()) == {
        "stage1": (112, 112, 16),
        "stage2": (56, 56, 24),
        "stage3": (28, 28, 32),
        "stage4": (14, 14, 96),
        "stage5": (7, 7, 320),
        "features": (1280,),
    }


# As kuangliu/pytorch-cifar describes it: the blocks that are projected gain 1x1 convolutions and
# their normalizations, from 32 to 32, 32 to 16, 16 to 24, 64 to 96 and 160 to 320 channels.
@pytest.mark.full
def test_params_of_the_one_that_is_usual_on_cifar():
    strides = (1, 1, 1, 2, 2, 1, 2, 1)
    plain, projected = (mobilenet_v2(10, strides=strides, projected=p) for p in (False, True))
    assert sizes.parameters(plain, 32) == 3_504_872 - 990 * 1281
    added = [(32, 32), (32, 16), (16, 24), (64, 96), (160, 320)]
    assert sum(i * o + 2 * o for i, o in added) == 2_296_922 - (3_504_872 - 990 * 1281)
    assert sizes.parameters(projected, 32) == 2_296_922
    shapes = sizes.shapes(projected, 32)
    assert [shapes[f"stage{i}"] for i in (1, 2, 3, 4)] == [
        (32, 32, 24),
        (16, 16, 32),
        (8, 8, 96),
        (4, 4, 320),
    ]
    assert "stage5" not in shapes


def test_widths_are_rounded_but_not_by_more_than_a_tenth():
    expected = {32.0: 32, 16 * 0.35: 8, 34.0: 32, 36.0: 40, 1.0: 8}
    assert {width: rounded(width) for width in expected} == expected
    # 8 would be nearest to 10, 16 to 18, but less than 0.9 of them.
    assert (rounded(10.0), rounded(24 * 0.75)) == (16, 24)


@pytest.mark.parametrize(
    ("features", "stride", "expansion", "shortcut"),
    [(4, 1, 6, True), (6, 1, 6, False), (4, 2, 6, False), (4, 1, 1, True)],
)
def test_the_shortcut_is_where_the_shape_stays(features, stride, expansion, shortcut):
    block = InvertedResidual(features, stride, expansion)
    x = jax.random.normal(jax.random.key(0), (1, 4, 4, 4))
    variables = block.init(jax.random.key(1), x, False)
    assert ("expand" in variables["params"]) == (expansion > 1)
    zeros = jax.tree.map(jnp.zeros_like, variables["params"]["norm3"])
    variables["params"]["norm3"] = zeros
    y = block.apply(variables, x, False)
    assert bool((y == x).all()) if shortcut else not y.any()


def test_a_projected_shortcut_is_where_only_the_width_changes():
    x = jax.random.normal(jax.random.key(0), (1, 4, 4, 4))
    for features, stride, names in ((6, 1, 2), (4, 1, 0), (6, 2, 0)):
        block = InvertedResidual(features, stride, 1, projected=True)
        variables = block.init(jax.random.key(1), x, False)
        params = variables["params"]
        assert "expand" in params
        assert sum("shortcut" in name for name in params) == names
        params["norm3"] = jax.tree.map(jnp.zeros_like, params["norm3"])
        y = block.apply(variables, x, False)
        if names:
            kernel = params["shortcut_conv"]["kernel"][0, 0]
            x_ = x @ kernel / jnp.sqrt(1 + 1e-5)
            assert jnp.allclose(y, x_, rtol=1e-5, atol=1e-5)
        else:
            assert bool((y == x).all()) if stride == 1 else not y.any()


def test_bfloat16():
    model = mobilenet_v2(num_classes=3, dtype="bfloat16")
    image = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
    logits, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), image)
    assert (logits.shape, logits.dtype) == ((2, 3), jnp.float32)


def test_refused():
    with pytest.raises(ConfigError, match="width_multiplier=0"):
        mobilenet_v2(width_multiplier=0.0)
    with pytest.raises(ConfigError, match=r"dropout=-0\.1"):
        mobilenet_v2(dropout=-0.1)
    for strides in ((2, 1, 2), (2, 1, 2, 2, 2, 1, 2, 3)):
        with pytest.raises(ConfigError, match=r"strides=.*: 8 of 1 and 2"):
            mobilenet_v2(strides=strides)
