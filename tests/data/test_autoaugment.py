"""Every operation against PIL's, and the distributions that operations are drawn from."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from library.data.augmentation import _autoaugment as autoaugment

# More than 2 * 255 pixels, or equalization does nothing.
HEIGHT, WIDTH = 32, 25
STRENGTHS = (0.0, 0.1, 1 / 3, 0.5, 0.77, 1.0)
ENHANCERS = dict(
    brightness=ImageEnhance.Brightness,
    color=ImageEnhance.Color,
    contrast=ImageEnhance.Contrast,
    sharpness=ImageEnhance.Sharpness,
)
# Before cutting off the fraction, single precision (ours, in a blend) and double precision (PIL's,
# in its contrast table) may miss a whole number from below: a few values differ by one.
MAY_ROUND = (*autoaugment.BLENDS, "auto_contrast")


def images() -> np.ndarray:
    """Noise, a dark gradient, few values and one value: (4, h, w, 3) uint8."""
    generator = np.random.default_rng(0)
    noise = generator.integers(0, 256, (HEIGHT, WIDTH, 3))
    row, column, channel = np.indices(noise.shape)
    gradient = 20 + 5 * row + 2 * column + 7 * channel
    few = generator.choice([3, 90, 91, 250], noise.shape)
    return np.stack([noise, gradient, few, np.full_like(noise, 77)]).astype(np.uint8)


def expected(image: np.ndarray, operation: str, amount: float, ranges: autoaugment.Ranges):
    """Applies PIL's version of an operation; `amount` is sign times strength."""
    picture, strength = Image.fromarray(image), abs(amount)
    width, height = picture.size
    blank = tuple([128] * 3) if image.ndim == 3 else 128
    shear = amount * ranges.shear
    shifts = [int(amount * (ranges.translate_share * s + ranges.translate_pixels)) for s in
              (width, height)]  # fmt: skip
    matrices = dict(
        shear_x=(1, shear, 0, 0, 1, 0),
        shear_y=(1, 0, 0, shear, 1, 0),
        translate_x=(1, 0, shifts[0], 0, 1, 0),
        translate_y=(1, 0, 0, 0, 1, shifts[1]),
    )
    if operation in matrices:
        affine = Image.Transform.AFFINE
        result = picture.transform(
            picture.size, affine, matrices[operation], Image.Resampling.NEAREST, fillcolor=blank
        )
    elif operation in ENHANCERS:
        result = ENHANCERS[operation](picture).enhance(1 + amount * ranges.blend)
    else:
        result = dict(
            identity=lambda: picture,
            rotate=lambda: picture.rotate(amount * ranges.rotate, fillcolor=blank),
            posterize=lambda: ImageOps.posterize(picture, 8 - round(strength * ranges.bits)),
            solarize=lambda: ImageOps.solarize(picture, 256 * (1 - strength)),
            auto_contrast=lambda: ImageOps.autocontrast(picture),
            equalize=lambda: ImageOps.equalize(picture),
            invert=lambda: ImageOps.invert(picture),
        )[operation]()
    return np.asarray(result)


@functools.cache
def program(ranges: autoaugment.Ranges):
    one = functools.partial(autoaugment.apply, ranges=ranges, fill=128 / 255)
    return jax.jit(jax.vmap(one))


def run(pictures: np.ndarray, operation: str, ranges: autoaugment.Ranges):
    """Returns each picture at each strength and sign, with the amounts, on the grid 0..255."""
    amounts = np.array([sign * s for s in STRENGTHS for sign in (1, -1)], np.float32)
    stacked = np.repeat(pictures, len(amounts), axis=0)
    signs = np.tile(np.array([1, -1] * len(STRENGTHS), np.float32), len(pictures))
    amounts = np.tile(amounts, len(pictures))
    index = jnp.full(len(stacked), autoaugment.OPERATIONS.index(operation))
    result = program(ranges)(jnp.asarray(stacked / np.float32(255)), index, abs(amounts), signs)
    return stacked, amounts, 255 * np.asarray(result, np.float64)


@pytest.mark.parametrize("ranges", [autoaugment.STANDARD, autoaugment.WIDE])
@pytest.mark.parametrize("operation", autoaugment.OPERATIONS)
def test_operation_equals_that_of_pil(operation, ranges):
    stacked, amounts, results = run(images(), operation, ranges)
    wrong = []
    for image, amount, result in zip(stacked, amounts, results):
        error = np.abs(result - expected(image, operation, float(amount), ranges))
        assert error.max() < (1.001 if operation in MAY_ROUND else 1e-4)
        wrong.append(np.mean(error > 1e-4))
    assert np.mean(wrong) < 0.01


def test_gray_images_equal_those_of_pil():
    gray = images()[:, :, :, 0]
    for operation in ("contrast", "color", "equalize", "auto_contrast", "rotate"):
        loose = operation in MAY_ROUND
        stacked, amounts, results = run(gray[..., None], operation, autoaugment.STANDARD)
        for image, amount, result in zip(stacked[..., 0], amounts, results[..., 0]):
            reference = expected(image, operation, float(amount), autoaugment.STANDARD)
            np.testing.assert_allclose(result, reference, atol=1.001 if loose else 1e-4)


def test_other_numbers_of_channels_are_refused():
    draws = autoaugment.draw_trivial(jax.random.key(0))
    with pytest.raises(ValueError, match=r"1 or 3 channels.*\(4, 4, 2\)"):
        autoaugment.transform(jnp.zeros((4, 4, 2)), draws, autoaugment.WIDE, 0.0)


def test_identity_and_geometry_keep_values_off_the_grid():
    image = jnp.asarray(np.random.default_rng(1).random((48, HEIGHT, WIDTH, 3)), jnp.float32)
    image = image.at[0, 0, 0].set(1.5)
    strength, sign = jnp.ones(48), jnp.ones(48)
    identity = program(autoaugment.STANDARD)(image, jnp.zeros(48, jnp.int32), strength, sign)
    np.testing.assert_array_equal(identity, image)
    shift = autoaugment.OPERATIONS.index("translate_y")
    moved = program(autoaugment.STANDARD)(image, jnp.full(48, shift), strength, sign)
    np.testing.assert_array_equal(moved[:, : HEIGHT - 14], image[:, 14:])


KEYS = jax.random.split(jax.random.key(7), 8192)


@jax.jit
def drawn_rand(strength, std, probability) -> autoaugment.Draws:
    draw = functools.partial(autoaugment.draw_rand, num_layers=2)
    return jax.vmap(
        lambda key: draw(key, strength=strength, strength_std=std, probability=probability)
    )(KEYS)


@functools.cache
def drawn_auto(policy: str) -> autoaugment.Draws:
    draws = jax.jit(jax.vmap(lambda key: autoaugment.draw_auto(key, policy)))(KEYS)
    return jax.tree.map(np.asarray, draws)


def within_five_sigma(observed: np.ndarray, probability: np.ndarray, count: int) -> bool:
    sigma = np.sqrt(probability * (1 - probability) / count)
    return bool(np.all(np.abs(observed - probability) <= 5 * sigma + 1e-12))


def test_rand_augment_draws_every_operation_alike():
    draws = jax.tree.map(np.asarray, drawn_rand(0.9, 0.0, 1.0))
    for layer in range(2):
        counts = np.bincount(draws.operation[:, layer], minlength=len(autoaugment.OPERATIONS))
        assert counts[-1] == 0  # "invert" is AutoAugment's alone
        assert within_five_sigma(counts[:-1] / 8192, np.full(14, 1 / 14), 8192)
    together = np.mean(draws.operation[:, 0] == draws.operation[:, 1])
    assert within_five_sigma(together, np.array(1 / 14), 8192)
    np.testing.assert_array_equal(draws.strength, np.float32(0.9))
    assert set(np.unique(draws.sign)) == {-1.0, 1.0}
    assert within_five_sigma(np.mean(draws.sign == 1), np.array(0.5), 2 * 8192)


def test_rand_augment_strengths_spread_and_operations_are_skipped():
    draws = drawn_rand(0.5, 0.1, 0.25)
    skipped = np.mean(np.asarray(draws.operation) == 0)
    assert within_five_sigma(skipped, np.array(0.75 + 0.25 / 14), 2 * 8192)
    assert abs(draws.strength.mean() - 0.5) < 0.006
    assert abs(draws.strength.std() - 0.1) < 0.004
    assert not np.any(drawn_rand(0.5, 0.0, 0.0).operation)
    clipped = drawn_rand(1.0, 0.1, 1.0).strength
    assert clipped.max() == 1.0
    assert 0.45 < np.mean(clipped == 1) < 0.55


def test_trivial_augment_draws_operations_and_strengths_uniformly():
    draws = jax.jit(jax.vmap(autoaugment.draw_trivial))(KEYS)
    counts = np.bincount(np.asarray(draws.operation[:, 0]), minlength=14)
    assert within_five_sigma(counts / 8192, np.full(14, 1 / 14), 8192)
    levels = np.asarray(draws.strength[:, 0]) * 30
    np.testing.assert_allclose(levels, np.round(levels), atol=1e-5)
    counts = np.bincount(np.round(levels).astype(int), minlength=31)
    assert within_five_sigma(counts / 8192, np.full(31, 1 / 31), 8192)


@pytest.mark.parametrize("policy", autoaugment.POLICIES)
def test_auto_augment_keeps_operations_with_their_probabilities(policy):
    pairs = autoaugment.POLICIES[policy]
    assert len(pairs) == 25
    draws = drawn_auto(policy)
    for layer in range(2):
        probability = np.zeros(len(autoaugment.OPERATIONS))
        for pair in pairs:
            name, share, _ = pair[layer]
            probability[autoaugment.OPERATIONS.index(name)] += share / 25
        probability[0] = 1 - probability.sum()
        counts = np.bincount(draws.operation[:, layer], minlength=len(probability))
        assert within_five_sigma(counts / 8192, probability, 8192)


def test_auto_augment_operations_stay_in_their_pairs():
    draws = drawn_auto("cifar")
    names = np.array(autoaugment.OPERATIONS)[draws.operation]
    levels = np.round(9 * draws.strength).astype(int)
    seen = {(a, int(i), b, int(j)) for (a, b), (i, j) in zip(names, levels)}
    kept = {s for s in seen if "identity" not in s}
    pairs = autoaugment.POLICIES["cifar"]
    # The pair with a probability of 0 is never seen whole, and two pairs differ by nothing but it.
    possible = {(a, i, b, j) for (a, p, i), (b, q, j) in pairs if p * q > 0}
    assert kept == possible
