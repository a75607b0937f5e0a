"""Networks for restoration: published numbers of params, sizes, and how far they see."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library import bicubic, tiling
from library.config import ConfigError
from library.layers.pixel_shuffle import pixel_shuffle
from library.models.dense import (
    context_encoder,
    dncnn,
    edsr,
    espcn,
    srcnn,
    srresnet,
    vdsr,
    voxel_flow,
)
from tests import often

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
    # 16 blocks of two convolutions and norms, two enlargements, and 20 slopes.
    "srresnet": (srresnet.srresnet(), 3, 4, 1_549_462),
    "dncnn": (dncnn.dncnn(), 1, 1, 556_096),
    # Three more layers of 9 64^2 and two vectors of 64.
    "dncnn blind": (dncnn.dncnn_b(), 1, 1, 556_096 + 3 * (9 * 64**2 + 128)),
}
# Narrow and shallow: network, channels, how many times it enlarges, how far a pixel is felt.
SMALL = {
    # 4 + 2 + 2 of the large pixels, and two small ones of the cubic kernel.
    "srcnn": (srcnn.srcnn(widths=(2, 2)), 1, 3, 5),
    "espcn": (espcn.espcn(widths=(2, 2)), 1, 3, 4),
    "vdsr": (vdsr.vdsr(depth=4, width=2), 1, 3, 3),
    "edsr": (edsr.edsr_small(scale=4, depth=1, width=2), 3, 4, 6),
    "dncnn": (dncnn.dncnn(depth=4, width=2), 1, 1, 4),
}


@pytest.mark.parametrize("name", often.but(["edsr x4", "edsr large", "dncnn blind"], NETWORKS))
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


@pytest.mark.parametrize("name", often.but(["vdsr", "edsr"], SMALL))
def test_a_pixel_is_felt_as_far_as_the_layers_reach(name):
    model, channels, scale, expected = SMALL[name]
    image = jnp.zeros((1, 5, 5, channels))
    variables = model.init(jax.random.key(1), image)

    @jax.jit
    def function(image):
        return model.apply(variables, image)

    assert tiling.reach(function, channels, scale=scale, most=64) == expected


@pytest.mark.parametrize(
    ("model", "last"),
    [
        (dncnn.dncnn(depth=3, width=2), "conv3"),
        (vdsr.vdsr(scale=2, depth=3, width=2), "conv3"),
        (edsr.edsr_small(scale=2, channels=1, depth=1, width=2), "tail"),
    ],
    ids=["dncnn", "vdsr", "edsr_small"],
)
def test_what_a_network_adds_starts_from_its_input(model, last):
    """These compute a difference to the input, or its enlargement: zero if their last layer is."""
    image = jnp.asarray(np.random.default_rng(0).random((1, 6, 6, 1)), jnp.float32)
    variables = jax.jit(model.init)(jax.random.key(0), image)
    silent = {
        **variables["params"],
        last: jax.tree.map(jnp.zeros_like, variables["params"][last]),
    }
    made = jax.jit(model.apply)({**variables, "params": silent}, image)
    scale = getattr(model, "scale", 1)
    np.testing.assert_allclose(made, bicubic.resized(image, (6 * scale, 6 * scale)), atol=1e-6)


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


def test_the_discriminator_halves_four_times():
    image = jnp.zeros((2, 96, 96, 3))
    scores, variables = jax.eval_shape(
        lambda x: srresnet.discriminator().init_with_output(jax.random.key(0), x), image
    )
    assert scores.shape == (2,)
    widths = [3, 64, 64, 128, 128, 256, 256, 512, 512]
    convs = sum(9 * a * b + b for a, b in itertools.pairwise(widths))
    norms = 2 * sum(widths[2:])
    dense = 6 * 6 * 512 * 1024 + 1024 + 1024 + 1
    count = sum(x.size for x in jax.tree.leaves(variables["params"]))
    assert count == convs + norms + dense
    with pytest.raises(ValueError, match="16x16 or larger, not 8x16; nearest: 16x16"):
        srresnet.discriminator(width=2, hidden=2).init(jax.random.key(0), jnp.zeros((1, 8, 16, 3)))


def test_a_context_encoder_sees_everything_and_keeps_the_size():
    model = context_encoder.context_encoder(channels=1, width=2)
    image = jnp.asarray(np.random.default_rng(0).random((1, 16, 16, 1)), jnp.float32)
    variables = jax.jit(model.init)(jax.random.key(0), image)
    assert variables["params"]["channelwise"]["kernel"].shape == (16, 16, 4)

    def corner(image):
        return model.apply(variables, image)[0, 0, 0, 0]

    slope = np.asarray(jax.jit(jax.grad(corner))(image))
    assert np.abs(slope[0, 12:, 12:]).max() > 0
    made = np.asarray(jax.jit(model.apply)(variables, image))
    assert made.shape == image.shape
    assert 0 < made.min() <= made.max() < 1
    for shape in ((1, 12, 12, 1), (1, 16, 8, 1), (1, 4, 4, 1)):
        with pytest.raises(ConfigError, match=r"nearest: (8x8|16x16)"):
            model.init(jax.random.key(0), jnp.zeros(shape))


def test_the_channelwise_layer_joins_places_and_not_channels():
    layer = context_encoder.ChannelWise()
    x = np.random.default_rng(0).normal(size=(2, 2, 3, 4)).astype(np.float32)
    variables = layer.init(jax.random.key(0), jnp.asarray(x))
    kernel = np.asarray(variables["params"]["kernel"])
    made = np.asarray(layer.apply(variables, jnp.asarray(x))).reshape(2, 6, 4)
    for channel in range(4):
        expected = x.reshape(2, 6, 4)[..., channel] @ kernel[..., channel]
        np.testing.assert_allclose(made[..., channel], expected, rtol=1e-4, atol=1e-5)


def test_pixels_are_read_where_they_come_from():
    image = np.random.default_rng(0).random((1, 6, 7, 2)).astype(np.float32)
    motion = np.zeros((1, 6, 7, 2), np.float32)
    motion[0, 2, 3] = [1.25, -2.5]
    motion[0, 0, 0] = [-3.0, 20.0]
    made = np.asarray(voxel_flow.displaced(jnp.asarray(image), jnp.asarray(motion)))
    rows = 0.75 * image[0, 3] + 0.25 * image[0, 4]
    np.testing.assert_allclose(made[0, 2, 3], (rows[0] + rows[1]) / 2, rtol=1e-5)
    np.testing.assert_array_equal(made[0, 0, 0], image[0, 0, 6])
    np.testing.assert_array_equal(made[0, 4, 1], image[0, 4, 1])


@pytest.mark.full
def test_a_frame_between_starts_as_the_mean_and_follows_its_motion():
    model = voxel_flow.voxel_flow(width=2, reach=4)
    frames = np.random.default_rng(0).random((2, 1, 8, 16, 1))
    before, after = jnp.asarray(frames, jnp.float32)
    variables = jax.jit(model.init)(jax.random.key(0), before, after)
    params = variables["params"]

    @jax.jit
    def made_of(variables):
        return model.apply(variables, before, after, mutable=["intermediates"])

    still = jax.tree.map(jnp.zeros_like, params["head"])
    held = {**variables, "params": {**params, "head": still}}
    np.testing.assert_allclose(made_of(held)[0], (before + after) / 2, rtol=1e-6)
    # One pixel to the right, and all of the frame before.
    bias = jnp.array([0.0, np.arctanh(1 / 4), -20.0])
    held = {**variables, "params": {**params, "head": {**still, "bias": bias}}}
    made, stored = made_of(held)
    np.testing.assert_allclose(made[:, :, 1:], before[:, :, :-1], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(stored["intermediates"]["motion"][..., 1], 1, rtol=1e-5)
    with pytest.raises(ValueError, match="multiples of 8, not 8x12; nearest: 8x16"):
        jax.eval_shape(model.init, jax.random.key(0), before[:, :, :12], after[:, :, :12])
