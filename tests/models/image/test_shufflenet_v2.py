import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.models.image import shufflenet_v2
from library.weights.shufflenet_v2 import PUBLISHED
from tests import often, sizes


@pytest.mark.parametrize("name", often.first(1, PUBLISHED))
def test_params_and_multiply_adds(name):
    model = getattr(shufflenet_v2, name)()
    assert sizes.parameters(model) == PUBLISHED[name].parameters
    # Published with three digits after the point.
    assert 2 * sizes.millions(model) == pytest.approx(PUBLISHED[name].gflops * 1e3, abs=1.5)


@pytest.mark.parametrize("name", PUBLISHED)
def test_layers_of_table_5(name):
    model = getattr(shufflenet_v2, name)()
    widths, last = model.widths, model.last
    assert sizes.shapes(model) == {
        "stage1": (56, 56, 24),
        "stage2": (28, 28, widths[0]),
        "stage3": (14, 14, widths[1]),
        "stage4": (7, 7, widths[2]),
        "features": (last,),
    }


def test_the_stem_for_small_images_keeps_their_size():
    model = shufflenet_v2.shufflenet_v2_x1_0(num_classes=100, stem="cifar")
    # 900 classes less than in torchvision.
    assert sizes.parameters(model, 32) == 2_278_604 - 900 * 1025
    assert sizes.shapes(model, 32) == {
        "stage1": (32, 32, 24),
        "stage2": (16, 16, 116),
        "stage3": (8, 8, 232),
        "stage4": (4, 4, 464),
        "features": (1024,),
    }


def test_half_of_the_channels_pass_a_unit_to_the_even_places():
    unit = shufflenet_v2.Unit(8, 1)
    x = jax.random.normal(jax.random.key(0), (1, 4, 4, 8))
    variables = unit.init(jax.random.key(1), x, False)
    assert variables["params"]["conv1"]["kernel"].shape == (1, 1, 4, 4)
    y = unit.apply(variables, x, False)
    np.testing.assert_array_equal(y[..., ::2], x[..., :4])
    # The other places see the second half alone.
    changed = unit.apply(variables, x.at[..., :4].set(0), False)
    np.testing.assert_array_equal(changed[..., 1::2], y[..., 1::2])
    changed = unit.apply(variables, x.at[..., 4:].multiply(-3), False)
    assert abs(changed[..., 1::2] - y[..., 1::2]).max() > 0.01


def test_both_branches_of_a_strided_unit_see_all_channels():
    unit = shufflenet_v2.Unit(8, 2)
    x = jnp.zeros((1, 4, 4, 6))
    params = jax.eval_shape(lambda: unit.init(jax.random.key(0), x, False))["params"]
    assert params["conv1"]["kernel"].shape == (1, 1, 6, 4)
    assert params["shortcut_depthwise"]["kernel"].shape == (3, 3, 1, 6)
    assert params["shortcut_conv"]["kernel"].shape == (1, 1, 6, 4)


def test_bfloat16():
    model = shufflenet_v2.shufflenet_v2_x0_5(num_classes=3, dtype="bfloat16")
    image = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
    logits, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), image)
    assert (logits.shape, logits.dtype) == ((2, 3), jnp.float32)


def test_refused():
    with pytest.raises(ConfigError, match="num_classes=-1"):
        shufflenet_v2.shufflenet_v2_x1_0(num_classes=-1)
    with pytest.raises(ConfigError, match="stem 'small'"):
        shufflenet_v2.shufflenet_v2_x0_5(stem="small")
    with pytest.raises(ConfigError, match="dtype"):
        shufflenet_v2.shufflenet_v2_x2_0(param_dtype="int8")
