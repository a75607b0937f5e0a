"""U-Net against the sizes of its paper."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library import tiling
from library.config import ConfigError
from library.models.dense import unet
from tests import often


def shapes(model, *shape):
    image = jax.ShapeDtypeStruct(shape, jnp.float32)
    variables = jax.eval_shape(lambda x: model.init(jax.random.key(0), x), image)
    logits, recorded = jax.eval_shape(
        lambda v, x: model.apply(v, x, mutable=["intermediates"]), variables, image
    )
    return variables, logits, recorded["intermediates"]


def test_the_network_of_the_paper_has_its_sizes():
    model = unet.unet(2, padding="mirror")
    variables, logits, recorded = shapes(model, 1, 388, 388, 1)
    assert logits.shape == (1, 388, 388, 2)
    assert recorded["features"].shape == (1, 1024)
    # Each level has two 3x3 convolutions down and, from twice the width, two up; 2x2 between.
    widths = (1, 64, 128, 256, 512, 1024)
    down = [9 * a * b + b + 9 * b * b + b for a, b in itertools.pairwise(widths)]
    up = [4 * 2 * b * b + b + 9 * 2 * b * b + b + 9 * b * b + b for b in widths[1:-1]]
    count = sum(x.size for x in jax.tree.leaves(variables["params"]))
    assert count == sum(down) + sum(up) + 2 * 64 + 2 == 31_030_658
    # Figure 1: 388 pixels are seen through 572.
    assert unet._margins(388, 5) == (92, 92)


def test_without_padding_572_pixels_give_388_as_in_figure_1():
    model = unet.unet(2, padding="valid")
    variables, logits, _ = shapes(model, 1, 572, 572, 1)
    assert logits.shape == (1, 388, 388, 2)
    assert unet._margin(5) == (572 - 388) // 2
    other = shapes(unet.unet(2, padding="mirror"), 1, 388, 388, 1)[0]
    assert jax.tree.map(jnp.shape, variables) == jax.tree.map(jnp.shape, other)
    with pytest.raises(ValueError, match="cannot halve 570x580; nearest: 572x572"):
        shapes(model, 1, 570, 580, 1)


@pytest.mark.full
def test_tiles_of_a_unet_are_the_whole_image():
    """The overlap-tile strategy (figure 2), with params of whole numbers, to the bit."""
    image = np.random.default_rng(0).integers(-1, 2, (44, 30, 1)).astype(np.float32)
    settings = dict(widths=(2, 2, 2), dropout=0.0)
    mirror, valid = (unet.unet(2, padding=p, **settings) for p in ("mirror", "valid"))
    random = np.random.default_rng(1)
    variables = jax.tree.map(
        lambda x: random.choice([-1.0, 0.0, 0.0, 0.0, 1.0], x.shape),
        shapes(mirror, 1, 44, 30, 1)[0],
    )
    mirrored, cut = (jax.jit(lambda x, m=m: m.apply(variables, x)) for m in (mirror, valid))
    whole = mirrored(image[None])[0]
    assert np.abs(whole).max() < 2**24
    settings = dict(multiple=4, halo=unet._margin(3), valid=True)
    np.testing.assert_array_equal(tiling.tiled(cut, image, tile=12, **settings), whole)
    # A network that extends the image by itself gets tiles within the image. It takes any size,
    # but 4 has to divide that of the image for the mirror to stand at the same place.
    wide = np.pad(image, ((0, 0), (0, 2), (0, 0)), mode="reflect")
    settings = dict(multiple=4, halo=tiling.reach(mirrored, 1, multiple=4))
    tiles = tiling.tiled(mirrored, image, tile=8, **settings)
    np.testing.assert_array_equal(tiles, mirrored(wide[None])[0, :, :30])


@pytest.mark.parametrize("size", often.first(1, [[5, 9], [8, 8]]))
def test_the_logits_are_of_the_pixels_of_the_image(size):
    """What a pixel says depends on what lies around it, and not on what is far away."""
    model = unet.unet(3, widths=(4, 4), padding="mirror", dropout=0.0)
    image = np.random.default_rng(0).normal(size=(1, *size, 1))
    image = jnp.asarray(image, jnp.float32)
    variables = jax.jit(model.init)(jax.random.key(0), image)
    assert jax.eval_shape(model.apply, variables, image).shape == (1, *size, 3)

    @jax.jit
    @jax.grad
    def slope_of_one(image, row, column):
        return model.apply(variables, image)[0, row, column].sum()

    for row, column in ((0, 0), (size[0] - 1, size[1] - 1), (2, 3)):
        slope = np.abs(slope_of_one(image, row, column)[0, ..., 0])
        seen = np.stack(np.nonzero(slope), axis=1)
        # Two pairs of 3x3 convolutions at full size and one at half see 4 + 2 * 2 + 1 pixels away.
        assert np.abs(seen - [row, column]).max() <= 9
        assert slope[row, column] > 0


def test_sides_that_do_not_halve_are_refused_and_so_are_bad_arguments():
    with pytest.raises(ValueError, match="multiples of 16, not 24x40; nearest: 32x32; padding='m"):
        shapes(unet.unet(2, widths=(2, 2, 2, 2, 2)), 1, 24, 40, 1)
    assert shapes(unet.unet(2, widths=(2, 2)), 1, 6, 4, 1)[1].shape == (1, 6, 4, 2)
    with pytest.raises(ConfigError, match="has two widths or more"):
        unet.unet(2, widths=(4,))
    with pytest.raises(ConfigError, match="did you mean 'batch'"):
        unet.unet(2, normalization="bath")


def test_batch_normalization_moves_its_statistics_in_training_alone():
    model = unet.unet(2, widths=(2, 4), normalization="batch", dropout=0.0)
    image = jnp.asarray(np.random.default_rng(0).normal(size=(2, 4, 4, 1)), jnp.float32)
    variables = jax.jit(model.init)(jax.random.key(0), image)
    learn = functools.partial(model.apply, train=True, mutable=["batch_stats"])
    _, moved = jax.jit(learn)(variables, image)
    before, after = (jax.tree.leaves(x["batch_stats"]) for x in (variables, moved))
    assert all((a != b).any() for a, b in zip(before, after))
    assert not any("bias" in p for p in variables["params"]["down1_conv1"])
