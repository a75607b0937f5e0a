"""Suppression with fixed shapes keeps what a loop over sorted boxes keeps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.object_detection.boxes import overlaps
from library.object_detection.suppression import suppressed


def by_force(boxes, scores, num, least, overlap, class_wise):
    found = [(-scores[i, k], i, k) for i in range(len(boxes)) for k in range(scores.shape[1])]
    kept = []
    for negative, i, k in sorted(found):
        rivals = [j for _, j, other in kept if not class_wise or other == k]
        if -negative >= least and not any(
            overlaps(boxes[i : i + 1], boxes[j : j + 1])[0, 0] > overlap for j in rivals
        ):
            kept.append((-negative, i, k))
    rows = [[*boxes[i], score, k] for score, i, k in kept[:num]]
    return np.float32([*rows, *[[0] * 6] * (num - len(rows))])


@pytest.mark.parametrize("class_wise", [True, pytest.param(False, marks=pytest.mark.full)])
def test_it_is_the_loop_for_boxes_of_several_classes(class_wise):
    random = np.random.default_rng(0)
    settings = dict(num=20, least=0.3, overlap=0.4137, class_wise=class_wise)
    run = jax.jit(lambda boxes, scores: suppressed(boxes, scores, **settings))
    for _ in range(5):
        low = random.integers(0, 20, (30, 2))
        boxes = np.float32(np.concatenate([low, low + random.integers(4, 12, (30, 2))], 1)) / 32
        # Equal scores keep the order of the boxes.
        scores = np.float32(random.integers(0, 20, (30, 3))) / 20
        expected = by_force(boxes, scores, **settings)
        assert (expected[:, 4] > 0).sum() > 3
        np.testing.assert_array_equal(run(boxes, scores), expected)


def test_confidence_is_zero_where_there_is_none():
    boxes, scores = jnp.array([[0.0, 0.0, 1.0, 1.0]] * 2), jnp.array([[0.9], [0.8]])
    run = jax.jit(lambda least: suppressed(boxes, scores, num=4, least=least, overlap=0.5))
    rows = run(0.1)
    assert rows[0].tolist() == pytest.approx([0, 0, 1, 1, 0.9, 0])
    np.testing.assert_array_equal(rows[1:], 0)
    np.testing.assert_array_equal(run(0.95), 0)


def test_only_the_surest_candidates_are_compared():
    place = jnp.arange(5.0)[:, None]
    boxes = jnp.concatenate([place, place, place + 1, place + 1], axis=1)
    scores = jnp.array([[0.5], [0.9], [0.6], [0.8], [0.7]])
    rows = jax.jit(lambda: suppressed(boxes, scores, num=5, least=0.1, overlap=0.5, candidates=2))()
    assert rows[:, 4].tolist() == pytest.approx([0.9, 0.8, 0, 0, 0])
