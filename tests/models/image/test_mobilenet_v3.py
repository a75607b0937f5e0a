import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.models.image import mobilenet_v3
from library.weights.mobilenet_v3 import PUBLISHED
from tests import often, sizes


@pytest.mark.full
@pytest.mark.parametrize("name", often.only(["mobilenet_v3_small"], PUBLISHED))
def test_params_and_multiply_adds(name):
    model = getattr(mobilenet_v3, name)()
    assert sizes.parameters(model) == PUBLISHED[name].parameters
    assert 2 * sizes.millions(model) == pytest.approx(PUBLISHED[name].gflops * 1e3, abs=1)


def test_layers_of_table_1():
    assert sizes.shapes(mobilenet_v3.mobilenet_v3_large()) == {
        "stage1": (112, 112, 16),
        "stage2": (56, 56, 24),
        "stage3": (28, 28, 40),
        "stage4": (14, 14, 112),
        "stage5": (7, 7, 160),
        "features": (1280,),
    }


def test_layers_of_table_2():
    assert sizes.shapes(mobilenet_v3.mobilenet_v3_small()) == {
        "stage1": (56, 56, 16),
        "stage2": (28, 28, 24),
        "stage3": (14, 14, 48),
        "stage4": (7, 7, 96),
        "features": (1024,),
    }


def test_excitations_see_a_quarter_of_the_channels_in_multiples_of_eight():
    model = mobilenet_v3.mobilenet_v3_large()
    params = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))["params"]
    found = {
        name: block["squeeze_excite"]["reduce"]["kernel"].shape[2:]
        for name, block in params.items()
        if "squeeze_excite" in block
    }
    assert found == {
        "block4": (72, 24),
        "block5": (120, 32),
        "block6": (120, 32),
        "block11": (480, 120),
        "block12": (672, 168),
        "block13": (672, 168),
        "block14": (960, 240),
        "block15": (960, 240),
    }
    assert "expand" not in params["block1"]


def test_hard_swish_and_sigmoid_are_those_of_the_paper():
    # Section 5.2: relu6(x + 3) / 6, and x times that.
    x = np.array([-4.0, -3.0, -1.5, 0.0, 1.5, 3.0, 4.0])
    expected = np.clip(x + 3, 0, 6) / 6
    np.testing.assert_allclose(nn.hard_sigmoid(x), expected, rtol=1e-6)
    np.testing.assert_allclose(mobilenet_v3.ACTIVATIONS["HS"](x), x * expected, rtol=1e-6)


def test_bfloat16_and_width():
    model = mobilenet_v3.mobilenet_v3_small(num_classes=3, width_multiplier=0.75, dtype="bfloat16")
    image = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
    logits, variables = jax.eval_shape(model.init_with_output, jax.random.key(0), image)
    assert (logits.shape, logits.dtype) == ((2, 3), jnp.float32)
    assert variables["params"]["hidden"]["kernel"].shape == (6 * 72, 768)


def test_refused():
    with pytest.raises(ConfigError, match="width_multiplier=-1"):
        mobilenet_v3.mobilenet_v3_large(width_multiplier=-1.0)
    with pytest.raises(ConfigError, match="num_classes=0"):
        mobilenet_v3.mobilenet_v3_small(num_classes=0)
