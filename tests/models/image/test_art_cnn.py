import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError, build
from library.layers.response_normalization import local_response_norm
from library.models.image.art_cnn import art_cnn
from tests import sizes


def test_params_and_stages():
    logits, params, recorded = sizes.traced(art_cnn(), 256)
    convolutions = 2_432 + 25_632 + 18_496 + 36_928
    dense = 64 * 64 * 64 * 64 + 64 + 64 * 128 + 128 + 128 * 2 + 2
    assert params == convolutions + dense == 16_869_346
    assert logits == (2,)
    stages = {name: recorded[name] for name in ("stage1", "stage2", "features")}
    assert stages == {"stage1": (256, 256, 32), "stage2": (128, 128, 64), "features": (128,)}


def test_pooled_responses_are_normalized_before_the_next_stage():
    model = art_cnn(widths=(6, 4), hidden=(3,))
    image = jax.random.normal(jax.random.key(0), (1, 8, 8, 3))
    variables = model.init(jax.random.key(1), image)
    _, recorded = model.apply(variables, image, mutable=["intermediates"])
    stage1 = recorded["intermediates"]["stage1"]
    pooled = stage1.reshape(1, 4, 2, 4, 2, 6).max((2, 4))
    x = local_response_norm(pooled)
    for name in ("stage2_conv1", "stage2_conv2"):
        params = variables["params"][name]
        x = jax.lax.conv_general_dilated(
            x, params["kernel"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        x = jnp.maximum(x + params["bias"], 0)
    np.testing.assert_allclose(recorded["intermediates"]["stage2"], x, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(num_classes=0), "num_classes=0"),
        (dict(dropout=1.0), "dropout=1.0"),
        (dict(hidden=(0,)), "hidden"),
        (dict(dtype="f16"), "dtype 'f16'"),
    ],
)
def test_a_misunderstood_argument_builds_nothing(arguments, message):
    with pytest.raises(ConfigError, match=message):
        build(dict(name="art_cnn", **arguments), "library.models", "model")
