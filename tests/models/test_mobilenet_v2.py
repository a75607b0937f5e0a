import jax
import jax.numpy as jnp
import pytest

from library.config import ConfigError
from library.models.mobilenet_v2 import InvertedResidual, mobilenet_v2, rounded
from library.weights.mobilenet_v2 import PUBLISHED
from tests import sizes


def test_params_and_multiply_adds():
    model, published = mobilenet_v2(), PUBLISHED["mobilenet_v2"]
    assert sizes.parameters(model) == published.parameters
    assert 2 * sizes.millions(model) == pytest.approx(published.gflops * 1e3, abs=1)


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
