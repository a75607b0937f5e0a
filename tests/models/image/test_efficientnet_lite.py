import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.models.image import efficientnet_lite
from library.models.image.efficientnet import TENSORFLOW, Block

# Of the authors' code: blocks and widths of the stages.
SCALED = {
    "lite0": ((1, 2, 2, 3, 3, 4, 1), (16, 24, 40, 80, 112, 192, 320)),
    "lite1": ((1, 3, 3, 4, 4, 5, 1), (16, 24, 40, 80, 112, 192, 320)),
    "lite4": ((1, 4, 4, 6, 6, 8, 1), (24, 32, 56, 112, 160, 272, 448)),
}


@pytest.mark.parametrize("name", SCALED)
def test_scaled_as_in_the_authors_code(name):
    model = getattr(efficientnet_lite, f"efficientnet_{name}")()
    blocks, widths = SCALED[name]
    assert tuple(stage.blocks for stage in model.stages) == blocks
    assert tuple(stage.width for stage in model.stages) == widths
    assert (model.stem, model.convention, model.lite) == (32, TENSORFLOW, True)


def test_a_block_has_no_squeeze_and_excitation_and_stops_at_six():
    x = 9 + jax.random.uniform(jax.random.key(0), (2, 4, 4, 3))
    block = Block(1, 3, 1, 5, TENSORFLOW, 0.0, True)
    shapes = jax.eval_shape(lambda: block.init(jax.random.key(0), x, False))
    assert set(shapes["params"]) == {
        *("depthwise_conv", "depthwise_norm", "project_conv", "project_norm")
    }
    ones = jax.tree.map(lambda leaf: jnp.ones(leaf.shape), shapes)
    scale = 1 / np.sqrt(1 + TENSORFLOW.epsilon)
    # The windows sum to more than six: three channels of six remain, normalized.
    wanted = (3 * 6 - 1) * scale + 1
    made = jax.jit(block.apply, static_argnums=2)(ones, x, False)
    np.testing.assert_allclose(made, np.full((2, 4, 4, 5), wanted), rtol=1e-6)


def test_features_are_as_wide_in_all_sizes():
    model = efficientnet_lite.efficientnet_lite4(num_classes=5)
    image = jnp.zeros((1, 64, 64, 3))
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), image))
    assert variables["params"]["head"]["kernel"].shape == (1280, 5)
