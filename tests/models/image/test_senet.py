import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.models.image.resnet import Block
from library.models.image.senet import seresnet50
from library.weights.senet import PUBLISHED
from tests import sizes


@pytest.mark.full
def test_params_and_multiply_adds():
    model = seresnet50()
    assert sizes.parameters(model) == PUBLISHED["seresnet50"].parameters
    assert 2 * sizes.millions(model, 288) == pytest.approx(
        PUBLISHED["seresnet50"].gflops * 1e3, abs=100
    )


def test_excitations_have_the_widths_of_table_1():
    params = jax.eval_shape(seresnet50().init, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))
    for stage, hidden in enumerate((16, 32, 64, 128), 1):
        layers = params["params"][f"stage{stage}_block1"]["squeeze_excite"]
        assert layers["reduce"]["kernel"].shape == (1, 1, 16 * hidden, hidden)
        assert layers["expand"]["kernel"].shape == (1, 1, hidden, 16 * hidden)


def test_what_is_added_to_the_shortcut_is_weighted():
    x = jax.random.uniform(jax.random.key(0), (2, 3, 3, 8))
    block = Block("bottleneck", 2, 1, "projection", reduction=2)
    shapes = jax.eval_shape(lambda: block.init(jax.random.key(0), x, False))
    rng = np.random.default_rng(0)
    variables = jax.tree.map(lambda p: np.float32(rng.uniform(0.1, 1, p.shape)), shapes)
    params = dict(variables["params"])
    excite = params.pop("squeeze_excite")
    plain = Block("bottleneck", 2, 1, "projection")
    # All is positive, so that the last relu does nothing.
    branch = plain.apply({**variables, "params": params}, x, False) - x
    assert float(branch.min()) > 0
    means = np.asarray(branch.mean(axis=(1, 2)))
    hidden = means @ excite["reduce"]["kernel"][0, 0] + excite["reduce"]["bias"]
    gate = hidden @ (excite["expand"]["kernel"][0, 0] / 100) + excite["expand"]["bias"]
    excite["expand"]["kernel"] = excite["expand"]["kernel"] / 100
    expected = x + branch / (1 + np.exp(-gate))[:, None, None]
    np.testing.assert_allclose(block.apply(variables, x, False), expected, rtol=1e-5)


def test_arguments():
    model = seresnet50(num_classes=7, stem="cifar", reduction=4, dtype="bfloat16")
    image = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
    logits, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), image)
    assert (logits.shape, logits.dtype) == ((2, 7), jnp.float32)
    with pytest.raises(ConfigError, match=r"reduction=24 does not divide 256, .* nearest: 16"):
        seresnet50(reduction=24)
    with pytest.raises(ConfigError, match=r"reduction=300 does not divide 256, .* nearest: 256"):
        seresnet50(reduction=300)
    with pytest.raises(ConfigError, match="reduction=0"):
        seresnet50(reduction=0)
