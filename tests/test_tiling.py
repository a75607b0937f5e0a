"""Tiles against the whole image, with whole numbers, so that equal means to the bit."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library import tiling
from library.config import ConfigError

RANDOM = np.random.default_rng(0)


def whole_numbers(*shape):
    return RANDOM.integers(-3, 4, shape).astype(np.float32)


def some(key, shape, dtype):
    return jnp.asarray(whole_numbers(*shape))


class Pooling(nn.Module):
    """Convolutions, a pooling of 4x4 between them, and an enlargement to `scale` times the size."""

    scale: int = 1
    looks_at_all: bool = False

    @nn.compact
    def __call__(self, image):
        x = nn.Conv(2, (3, 3), kernel_init=some, bias_init=some, name="before")(image)
        x = nn.max_pool(x, (4, 4), (4, 4))
        x = nn.Conv(2, (3, 3), kernel_init=some, bias_init=some, name="inside")(x)
        x = x.repeat(4 * self.scale, axis=1).repeat(4 * self.scale, axis=2)
        if self.looks_at_all:
            x = x + x.sum(axis=(1, 2), keepdims=True)
        return nn.Conv(2, (3, 3), kernel_init=some, bias_init=some, name="after")(x)


def built(**arguments):
    model = Pooling(**arguments)
    variables = model.init(jax.random.key(0), np.zeros((1, 24, 24, 3)))
    applied = jax.jit(model.apply)
    return lambda image: np.asarray(applied(variables, image))


@pytest.mark.parametrize(("sides", "scale"), [((56, 44), 1), ((12, 44), 2)])
def test_tiles_are_the_whole_image(sides, scale):
    function, image, shapes = built(scale=scale), whole_numbers(*sides, 3), []
    # A cell is felt one pixel further before the pooling, in that cell and the one beyond it.
    # The last convolution adds a pixel of the result.
    halo = tiling.reach(function, 3, multiple=4, scale=scale)
    assert halo == 9

    def counted(windows):
        shapes.append(windows.shape)
        return function(windows)

    # 10 is rounded down to 8, and 9 up to 12.
    settings = dict(halo=halo, scale=scale, multiple=4, batch_size=2)
    made = tiling.tiled(counted, image, tile=10, **settings)
    np.testing.assert_array_equal(made, function(image[None])[0])
    assert set(shapes) == {(2, min(32, sides[0]), 32, 3)}
    narrow = tiling.tiled(function, image, tile=8, **settings | dict(halo=0))
    assert not np.array_equal(narrow, made)


def test_a_side_that_the_stride_does_not_divide_goes_on_as_in_a_mirror():
    function, image = built(), whole_numbers(42, 33, 3)
    whole = np.pad(image, ((0, 2), (0, 3), (0, 0)), mode="reflect")
    made = tiling.tiled(function, image, tile=8, halo=9, multiple=4)
    np.testing.assert_array_equal(made, function(whole[None])[0, :42, :33])


def test_a_network_without_padding_sees_the_mirror_image_around(tmp_path):
    kernel = whole_numbers(5, 5, 1, 2)

    def valid(windows):
        dimensions = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            windows, kernel, (1, 1), "VALID", dimension_numbers=dimensions
        )

    image = whole_numbers(23, 7, 1)
    around = np.pad(image, ((2, 2), (2, 2), (0, 0)), mode="reflect")
    stored = np.memmap(tmp_path / "image", np.float32, "w+", shape=image.shape)
    stored[:] = image
    out = np.memmap(tmp_path / "made", np.float32, "w+", shape=(23, 7, 2))
    made = tiling.tiled(valid, stored, tile=9, halo=2, multiple=4, valid=True, out=out)
    assert made is out
    np.testing.assert_array_equal(out, valid(around[None])[0])
    # The paper's windows of 572 pixels show 388.
    (span, *_), size = tiling._spans(512, 388, 388, 92, 1, True)
    assert (size, span) == (572, tiling.Span(-92, 0, 0, 388))


def test_what_cannot_be_tiled_is_refused():
    image = whole_numbers(24, 24, 3)
    for settings, message in (
        (dict(tile=3, halo=0, multiple=4), "tile=3: valid are 4 or more"),
        (dict(tile=8, halo=-1), "halo=-1: valid are 0 or more"),
        (dict(tile=8, halo=0, scale=0), "scale=0: valid are 1 or more"),
        (dict(tile=8, halo=0, scale=2, multiple=4), r"makes \(1, 8, 8, 2\) of tiles of 8x8"),
    ):
        with pytest.raises(ConfigError, match=message):
            tiling.tiled(built(), image, **settings)
    with pytest.raises(ConfigError, match="of 68x68: the network sees the whole image"):
        tiling.reach(built(looks_at_all=True), 3, multiple=4, most=70)
    with pytest.raises(ConfigError, match="this function makes int64: state the halo"):
        tiling.reach(lambda image: built()(image).argmax(-1), 3, multiple=4)
