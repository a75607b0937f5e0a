"""Resizing, colours, PSNR and SSIM: closed forms, and the field's figures of Set5."""

import io
import itertools
import os
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from PIL import Image

from library import bicubic, colour_spaces, fidelity
from library.config import ConfigError, build
from library.data import on_device, preprocessing
from library.summaries import summarize
from library.task import minimize
from library.tasks.restoration import restoration
from tests import often

DATA = Path(os.environ.get("COMPENDIUM_DATA", "data")) / "sr_photos"
# Dong et al. 2014, table 2, the column "Bicubic" of Set5.
PUBLISHED = {2: 33.66, 3: 30.39, 4: 28.42}


def photographs(name):
    file = DATA / f"{name}.npz"
    if not file.is_file():
        pytest.skip(f"{file} is not here: COMPENDIUM_DATA names the folder of the data")
    with np.load(file) as held:
        data, ends = held["data"].tobytes(), held["offsets"]
    for first, last in itertools.pairwise(ends):
        yield np.asarray(Image.open(io.BytesIO(data[first:last])).convert("RGB"))


class Nothing(nn.Module):
    """Enlarges by bicubic interpolation."""

    scale: int

    @nn.compact
    def __call__(self, image, train=False):
        self.param("unused", nn.initializers.zeros, ())
        return bicubic.resized(image, tuple(self.scale * side for side in image.shape[1:3]))


@pytest.mark.parametrize("scale", often.only([3], PUBLISHED))
def test_the_bicubic_enlargement_of_set5_reads_the_published_decibels(scale):
    operations = [
        dict(name="crop_multiple", unit=scale),
        dict(name="mirror", size=512 // scale * scale),
    ]
    kinds = {"image": "image"}
    chain = preprocessing.chain(
        [build(x, "library.data.preprocessing", "preprocessing", kinds=kinds) for x in operations]
    )
    examples = [chain({"image": pixels}, None) for pixels in photographs("cset5")]
    batch = {k: np.stack([example[k] for example in examples]) for k in examples[0]}
    place = np.arange(len(examples), dtype=np.uint32)
    batch = dict(batch, index=place, row=place, mask=np.ones(len(examples), np.float32))
    degradation = dict(name="downscale", factor=scale)
    made = restoration(
        Nothing(scale),
        lambda loss: minimize(loss, optax.sgd(1.0)),
        degradation=degradation,
        channels="luma",
    )

    @jax.jit
    def measured(batch):
        batch = on_device.to_float(batch, kinds)
        state = made.init(jax.random.key(0), batch)
        return made.evaluate(state, batch, jax.random.key(0))

    found = summarize(jax.device_get(measured(batch)))
    assert found["input_psnr"] == pytest.approx(PUBLISHED[scale], abs=0.01)
    assert found["psnr"] == pytest.approx(found["input_psnr"], abs=1e-3)


def test_bicubic_weights_are_the_kernel_and_a_line_stays_a_line():
    # Doubling puts pixels at quarters: Keys's kernel at 1/4, 3/4, 5/4 and 7/4.
    row = bicubic.weights(9, 18)[9]
    np.testing.assert_allclose(row[3:7], np.array([-9, 111, 29, -3]) / 128, rtol=1e-12)
    # Halving widens the kernel to eight pixels.
    assert np.count_nonzero(np.abs(bicubic.weights(16, 8)[4]) > 1e-12) == 8
    for old, new in ((12, 36), (36, 12), (10, 25)):
        matrix = bicubic.weights(old, new)
        np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=1e-12)
        line = matrix @ np.arange(old)
        inner = line[4 * max(1, new // old) : -4 * max(1, new // old)]
        np.testing.assert_allclose(np.diff(inner), (old / new), rtol=1e-9)


def test_resizing_an_image_is_resizing_its_mirror_extension():
    image = np.random.default_rng(0).random((1, 15, 12, 1)).astype(np.float32)
    canvas = np.pad(image, ((0, 0), (0, 0), (0, 12), (0, 0)), mode="symmetric")
    ours = bicubic.resized(jnp.asarray(image), (5, 4))
    theirs = bicubic.resized(jnp.asarray(canvas), (5, 8))
    np.testing.assert_allclose(theirs[:, :, :4], ours, atol=1e-6)
    large = bicubic.resized(theirs, (15, 24))[:, :, :12]
    np.testing.assert_allclose(large, bicubic.resized(ours, (15, 12)), atol=1e-6)


def test_colours_go_to_other_spaces_and_back():
    colours = np.random.default_rng(0).random((50, 3)).astype(np.float32)
    colours[:3] = [[0, 0, 0], [1, 1, 1], [0.001, 0.5, 0.03]]
    ycbcr = np.asarray(colour_spaces.to_ycbcr(jnp.asarray(colours)))
    np.testing.assert_allclose(ycbcr[0] * 255, [16, 128, 128], atol=1e-3)
    np.testing.assert_allclose(ycbcr[1] * 255, [235, 128, 128], atol=1e-3)
    np.testing.assert_allclose(colour_spaces.from_ycbcr(jnp.asarray(ycbcr)), colours, atol=2e-6)
    lab = np.asarray(colour_spaces.to_lab(jnp.asarray(colours)))
    np.testing.assert_allclose(lab[:2], [[0, 0, 0], [100, 0, 0]], atol=2e-3)
    np.testing.assert_allclose(colour_spaces.from_lab(jnp.asarray(lab)), colours, atol=5e-5)
    # sRGB's red and blue, from the standard's primaries under D65.
    primaries = np.asarray(colour_spaces.to_lab(jnp.eye(3)[jnp.array([0, 2])]))
    expected = [[53.24, 80.09, 67.20], [32.30, 79.19, -107.86]]
    np.testing.assert_allclose(primaries, expected, atol=0.02)


def test_decibels_are_those_of_the_pixels_that_count():
    true = jnp.zeros((2, 4, 5, 1)).at[:, 0].set(0.3)
    image = true + 0.1
    size = jnp.array([[4, 5], [3, 4]])
    inside = fidelity.region((4, 5), size, 1)
    assert inside.sum(axis=(1, 2)).tolist() == [6, 2]
    image = image.at[1, 0].set(0.9)
    np.testing.assert_allclose(fidelity.psnr(image, true, inside), [20, 20], rtol=1e-5)
    np.testing.assert_allclose(fidelity.psnr(true, true, inside), [120, 120], rtol=1e-6)


def by_hand(a, b, inside):
    """Averages Wang's index over windows inside."""
    place = np.arange(11) - 5
    window = np.exp(-(place[:, None] ** 2 + place**2) / (2 * 1.5**2))
    window /= window.sum()
    found = []
    for y in range(a.shape[0] - 10):
        for x in range(a.shape[1] - 10):
            at = (slice(y, y + 11), slice(x, x + 11))
            if not inside[at].all():
                continue
            p, q = a[at], b[at]
            m, n = (window * p).sum(), (window * q).sum()
            v, w = (window * (p - m) ** 2).sum(), (window * (q - n) ** 2).sum()
            c = (window * (p - m) * (q - n)).sum()
            light = (2 * m * n + 1e-4) / (m**2 + n**2 + 1e-4)
            found.append(light * (2 * c + 9e-4) / (v + w + 9e-4))
    return np.mean(found)


def test_ssim_is_the_mean_of_its_windows():
    random = np.random.default_rng(0)
    true = random.random((2, 16, 14, 1)).astype(np.float32)
    image = np.clip(true + random.normal(scale=0.1, size=true.shape), 0, 1).astype(np.float32)
    inside = fidelity.region((16, 14), jnp.array([[16, 14], [13, 14]]), 0)
    measure = jax.jit(fidelity.ssim)
    found = np.asarray(measure(jnp.asarray(image), jnp.asarray(true), inside))
    for i in range(2):
        expected = by_hand(*(np.float64(x[i, ..., 0]) for x in (image, true)), inside[i])
        assert found[i] == pytest.approx(expected, abs=2e-5)
    same = measure(jnp.asarray(true), jnp.asarray(true), inside)
    np.testing.assert_allclose(same, [1, 1], atol=1e-5)
    with pytest.raises(ConfigError, match="11x11 or larger, not 10x14; nearest: 11x14"):
        fidelity.ssim(jnp.asarray(image[:, :10]), jnp.asarray(true[:, :10]), inside[:, :10])
