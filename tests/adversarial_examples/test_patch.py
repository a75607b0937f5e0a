import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.adversarial_examples import patch as patches
from library.adversarial_examples.patch import Place, Settings
from library.config import ConfigError

RANDOM = np.random.default_rng(0)
PATCH = jnp.asarray(RANDOM.uniform(size=(5, 5, 2)), jnp.float32)
IMAGE = jnp.asarray(RANDOM.uniform(size=(2, 11, 9, 2)), jnp.float32)


def place(row, column, side, angle=0.0):
    return Place(*(jnp.full(2, value, jnp.float32) for value in (row, column, side, angle)))


def disc(row, column, side):
    rows, columns = np.indices((11, 9))
    return (rows - row) ** 2 + (columns - column) ** 2 <= (side / 2) ** 2


@pytest.mark.parametrize("angle", [0, 90, 180, 270])
def test_a_patch_of_its_own_size_is_copied(angle):
    found = patches.apply_patch(PATCH, IMAGE, place(4, 3, 5, np.radians(angle)))
    pasted = np.array(IMAGE)
    pasted[:, 2:7, 1:6] = np.rot90(PATCH, angle // 90)
    inside = disc(4, 3, 5)
    assert inside.sum() == 21
    np.testing.assert_allclose(found, np.where(inside[..., None], pasted, IMAGE), atol=1e-5)


def test_an_enlarged_patch_is_interpolated():
    """A slope stays a slope, of a lower grade."""
    slope = jnp.broadcast_to(jnp.arange(5.0)[:, None, None] / 4, (5, 5, 2))
    found = patches.apply_patch(slope, IMAGE, place(5, 4, 9))
    inside = disc(5, 4, 9)
    rows = np.indices((11, 9))[0]
    expected = np.clip(0.5 + (rows - 5) * 5 / 9 / 4, 0, 1)
    expected = np.where(inside[..., None], expected[..., None], IMAGE)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_places_lie_within_the_image():
    settings = Settings(side=(0.2, 0.7), angle=30.0)
    keys = jax.random.split(jax.random.key(0), 2000)
    drawn = patches.random_places(keys, (20, 30), settings)
    row, column, side, angle = map(np.asarray, drawn)
    for centre, length in ((row, 20), (column, 30)):
        assert (centre - side / 2).min() >= -0.5 - 1e-4
        assert (centre + side / 2).max() <= length - 0.5 + 1e-4
    assert 4 <= side.min() < 4.2
    assert 13.8 < side.max() <= 14
    assert 28 < np.degrees(angle).max() <= 30
    assert -30 <= np.degrees(angle).min() < -28
    assert np.ptp(column) > 20


@pytest.mark.parametrize("target", [0, 1])
def test_the_best_patch_for_a_linear_score(target):
    """The score of class 1 is the sum of the pixels: white is best for it, and black for 0."""

    def logits(image):
        total = image.sum((1, 2, 3)) - 99
        return 0.1 * jnp.stack([jnp.zeros_like(total), total], axis=-1)

    settings = Settings(size=16, side=(0.8, 1.0), steps=150)
    train = jax.jit(lambda key: patches.train_patch(logits, IMAGE, target, key, settings))
    found = train(jax.random.key(0))
    assert found.shape == (16, 16, 2)
    rows, columns = np.indices((16, 16)) - 7.5
    np.testing.assert_array_equal(found[rows**2 + columns**2 <= 7**2], target)
    # Corners are outside of the disc, and never seen.
    np.testing.assert_array_equal(found[0, 0], 0.5)


@pytest.mark.full
def test_a_step_sees_some_of_the_images():
    """The middle of the patch moves where an image that is black there is drawn."""
    image = jnp.stack([jnp.zeros((4, 4, 1)), jnp.ones((4, 4, 1))]).repeat(3, 0)

    def logits(image):
        # Only black corners make the patch count.
        counts = 1 - image[:, 0, 0]
        return jnp.concatenate([jnp.zeros_like(counts), counts * image[:, 2, 2] * 9], axis=-1)

    settings = Settings(size=4, side=(0.7, 0.7), angle=0.0, steps=1, batch_size=1)
    train = jax.jit(lambda key: patches.train_patch(logits, image, 1, key, settings))
    moved = [bool((train(jax.random.key(seed)) != 0.5).any()) for seed in range(12)]
    assert {True, False} == set(moved)
    everything = settings._replace(batch_size=6)
    found = patches.train_patch(logits, image, 1, jax.random.key(0), everything)
    assert (found != 0.5).any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Settings(side=(0.5, 0.3)), r"side=\(0.5, 0.3\)"),
        (Settings(side=(0.5, 1.2)), r"side=\(0.5, 1.2\)"),
        (Settings(size=1), "size=1"),
        (Settings(steps=0), "steps=0"),
        (Settings(learning_rate=0.0), "learning_rate=0.0"),
        (Settings(batch_size=0), "batch_size=0"),
    ],
)
def test_settings_that_are_none(settings, message):
    with pytest.raises(ConfigError, match=message):
        patches.train_patch(lambda x: x, IMAGE, 0, jax.random.key(0), settings)
