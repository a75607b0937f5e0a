"""Networks for restoration: published numbers of params, sizes, and how far they see."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library import tiling
from library.config import ConfigError
from library.layers.pixel_shuffle import pixel_shuffle
from library.models.dense import dncnn, edsr, espcn, srcnn, vdsr

# The network, channels, how many times it enlarges, and its params.
NETWORKS = {
    "srcnn": (srcnn.srcnn(), 1, 3, 57_281),
    # 9^2 64 + 64, 64 32 + 32 and 5^2 32 + 1.
    "srcnn 9-1-5": (srcnn.srcnn_915(), 1, 3, 8_129),
    "espcn": (espcn.espcn(), 1, 3, 22_729),
    # 18 layers of 9 64^2 + 64 between 9 64 + 64 and 9 64 + 1.
    "vdsr": (vdsr.vdsr(), 1, 3, 665_921),
    "edsr x2": (edsr.edsr_baseline(scale=2), 3, 2, 1_369_859),
    "edsr x3": (edsr.edsr_baseline(scale=3), 3, 3, 1_554_499),
    "edsr x4": (edsr.edsr_baseline(scale=4), 3, 4, 1_517_571),
    "edsr large": (edsr.edsr(scale=2), 3, 2, 40_729_603),
    "dncnn": (dncnn.dncnn(), 1, 1, 556_096),
    # Three more layers of 9 64^2 and two vectors of 64.
    "dncnn blind": (dncnn.dncnn_b(), 1, 1, 556_096 + 3 * (9 * 64**2 + 128)),
}
# Narrow and shallow: network, channels, how many times it enlarges, how far a pixel is felt.
SMALL = {
    # 4 + 2 + 2 pixels and the 2 of the cubic kernel, enlarged three times.
    "srcnn": (srcnn.srcnn(widths=(2, 2)), 1, 3, 4),
    "espcn": (espcn.espcn(widths=(2, 2)), 1, 3, 4),
    "vdsr": (vdsr.vdsr(depth=4, width=2), 1, 3, 3),
    "edsr": (edsr.edsr_small(scale=4, depth=1, width=2), 3, 4, 6),
    "dncnn": (dncnn.dncnn(depth=4, width=2), 1, 1, 4),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_have_the_published_params_and_enlarge(name):
    model, channels, scale, count = NETWORKS[name]
    image = jax.ShapeDtypeStruct((1, 5, 7, channels), jnp.float32)
    made, variables = jax.eval_shape(lambda x: model.init_with_output(jax.random.key(0), x), image)
    assert made.shape == (1, 5 * scale, 7 * scale, channels)
    assert made.dtype == jnp.float32
    assert sum(x.size for x in jax.tree.leaves(variables["params"])) == count


def test_pixels_come_from_channels_in_torchs_order():
    batch, height, width, channels, factor = 2, 3, 4, 2, 3
    x = np.random.default_rng(0).normal(size=(batch, height, width, channels * factor**2))
    made = np.asarray(pixel_shuffle(jnp.asarray(x, jnp.float32), factor))
    assert made.shape == (batch, height * factor, width * factor, channels)
    for row in range(height * factor):
        for column in range(width * factor):
            for channel in range(channels):
                i, j = row % factor, column % factor
                of = channel * factor**2 + i * factor + j
                expected = np.float32(x[:, row // factor, column // factor, of])
                np.testing.assert_array_equal(made[:, row, column, channel], expected)


@pytest.mark.parametrize("name", SMALL)
def test_a_pixel_is_felt_as_far_as_the_layers_reach(name):
    model, channels, scale, expected = SMALL[name]
    image = jnp.zeros((1, 5, 5, channels))
    variables = model.init(jax.random.key(1), image)

    def function(image):
        return model.apply(variables, image)

    assert tiling.reach(function, channels, scale=scale, most=64) == expected


def test_what_a_network_adds_starts_from_its_input():
    """VDSR and DnCNN compute a difference, which is zero if their last layer is."""
    image = jnp.asarray(np.random.default_rng(0).random((1, 6, 6, 1)), jnp.float32)
    model = dncnn.dncnn(depth=3, width=2)
    variables = model.init(jax.random.key(0), image)
    silent = {
        **variables["params"],
        "conv3": jax.tree.map(jnp.zeros_like, variables["params"]["conv3"]),
    }
    made = model.apply({**variables, "params": silent}, image)
    np.testing.assert_array_equal(made, image)


def test_sizes_that_there_are_not_are_refused():
    for wrong in (
        lambda: srcnn.srcnn(kernels=(9, 4, 5)),
        lambda: dncnn.dncnn(depth=1),
        lambda: edsr.edsr_small(skip="linear"),
        lambda: espcn.espcn(activation="tan"),
        lambda: vdsr.vdsr(scale=0),
    ):
        with pytest.raises(ConfigError):
            wrong()
