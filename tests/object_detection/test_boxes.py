"""Overlaps and conversions of boxes, by hand and by counting pixels."""

import jax
import jax.numpy as jnp
import numpy as np

from library.object_detection import boxes

OURS = np.float32([[0, 0, 2, 2], [0, 0, 0, 0]])
THEIRS = np.float32([[0, 1, 2, 3], [0, 0, 2, 2], [3, 3, 4, 4]])


def drawn(num, seed=0, side=12):
    random = np.random.default_rng(seed)
    low = random.integers(0, side - 4, (num, 2))
    return np.float32(np.concatenate([low, low + random.integers(1, 5, (num, 2))], axis=1))


def test_overlaps_by_hand_in_numpy_and_jax():
    expected = [[2 / 6, 1, 0], [0, 0, 0]]
    found = boxes.overlaps(OURS, THEIRS)
    assert isinstance(found, np.ndarray)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    traced = jax.jit(boxes.overlaps)(OURS, THEIRS)
    np.testing.assert_allclose(traced, expected, rtol=1e-6)


def test_overlaps_of_whole_numbers_are_shares_of_pixels():
    ours, theirs = drawn(8), drawn(9, seed=1)
    place = np.indices((12, 12)) + 0.5

    def covered(box):
        return ((place > box[:2, None, None]) & (place < box[2:, None, None])).all(0)

    for i, a in enumerate(ours):
        for j, b in enumerate(theirs):
            both, either = covered(a) & covered(b), covered(a) | covered(b)
            assert boxes.overlaps(ours, theirs)[i, j] == np.float32(both.sum() / either.sum())


def test_complete_overlap_by_its_formula():
    ours, theirs = np.float64(drawn(50)), np.float64(drawn(50, seed=1))
    complete_overlap = jax.jit(boxes.complete_overlap)
    found = complete_overlap(jnp.asarray(ours), jnp.asarray(theirs))
    for a, b, value in zip(ours, theirs, found):
        shared = boxes.overlap(a, b)
        around = np.hypot(max(a[2], b[2]) - min(a[0], b[0]), max(a[3], b[3]) - min(a[1], b[1]))
        apart = np.hypot(*((a[:2] + a[2:]) / 2 - (b[:2] + b[2:]) / 2))
        ratios = [np.arctan((x[3] - x[1]) / (x[2] - x[0])) for x in (a, b)]
        v = 4 / np.pi**2 * (ratios[0] - ratios[1]) ** 2
        expected = shared - (apart / around) ** 2 - v * v / (1 - shared + v + 1e-7)
        np.testing.assert_allclose(value, expected, atol=1e-5)
    same = complete_overlap(jnp.asarray(ours), jnp.asarray(ours))
    np.testing.assert_allclose(same, 1, atol=1e-6)


def test_gradients_of_complete_overlap_are_finite_without_area():
    empty, box = jnp.zeros(4), jnp.array([0.0, 0.0, 2.0, 3.0])
    slope = jax.jit(jax.grad(boxes.complete_overlap))
    for a, b in ((empty, box), (box, empty), (box, box), (box, box + 9)):
        assert jnp.isfinite(slope(a, b)).all()


def test_centers_and_back():
    whole = drawn(6)
    centers = boxes.to_centers(whole)
    np.testing.assert_array_equal(centers[:, 2:], whole[:, 2:] - whole[:, :2])
    np.testing.assert_array_equal(boxes.from_centers(centers), whole)
