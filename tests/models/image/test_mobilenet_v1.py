import jax
import jax.numpy as jnp
import pytest

from library.config import ConfigError
from library.models.image.mobilenet_v1 import mobilenet_v1
from library.weights.mobilenet_v1 import PUBLISHED
from tests import often, sizes


@pytest.mark.parametrize(
    ("alpha", "parameters", "millions"),
    often.only(
        [(0.25, 470_072, 41)],
        [(1.0, 4_231_976, 569), (0.75, 2_585_560, 325), (0.5, 1_331_592, 149), (0.25, 470_072, 41)],
    ),
)
def test_params_and_multiply_adds_of_table_6(alpha, parameters, millions):
    model = mobilenet_v1(width_multiplier=alpha)
    assert sizes.parameters(model) == parameters
    assert int(sizes.millions(model) + 0.5) == millions
    assert PUBLISHED["mobilenet_v1"].parameters == 4_231_976


def test_layers_of_table_1():
    assert sizes.shapes(mobilenet_v1()) == {
        "stage1": (112, 112, 64),
        "stage2": (56, 56, 128),
        "stage3": (28, 28, 256),
        "stage4": (14, 14, 512),
        "stage5": (7, 7, 1024),
        "features": (1024,),
    }
    layers = sizes.by_layer(mobilenet_v1(), 224)
    # Section 3.2: 95 % of the time is spent in 1x1 convolutions, by table 2.
    pointwise = sum(n for name, n in layers.items() if name.endswith("pointwise"))
    assert pointwise / sum(layers.values()) == pytest.approx(0.9486, abs=5e-4)
    assert len(layers) == 1 + 2 * 13 + 1


def test_bfloat16_and_dropout():
    model = mobilenet_v1(num_classes=3, width_multiplier=0.25, dropout=0.5, dtype="bfloat16")
    image = jnp.ones((2, 32, 32, 3))
    logits, variables = jax.eval_shape(model.init_with_output, jax.random.key(0), image)
    assert (logits.shape, logits.dtype) == ((2, 3), jnp.float32)
    assert variables["params"]["stem_conv"]["kernel"].shape == (3, 3, 3, 8)
    with pytest.raises(Exception, match="dropout"):
        jax.eval_shape(lambda v: model.apply(v, image, True, mutable=["batch_stats"]), variables)


def test_refused():
    with pytest.raises(ConfigError, match=r"width_multiplier=0\.03 leaves no channel"):
        mobilenet_v1(width_multiplier=0.03)
    with pytest.raises(ConfigError, match=r"dropout=1\.0"):
        mobilenet_v1(dropout=1.0)
