"""The losses of the YOLO methods beside loops that assign objects as their papers say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.object_detection import anchors, methods, task_aligned, yolo_v1
from library.object_detection.boxes import complete_overlap, overlap
from library.object_detection.objects import Objects

SIDES = (64, 96)
KINDS = 3


def sigmoid(x):
    return 1 / (1 + np.exp(-np.float64(x)))


def entropy(logit, wanted):
    return np.logaddexp(0, logit) - wanted * logit


def scene(num=4, there=3, seed=0):
    random = np.random.default_rng(seed)
    center = random.uniform(0.2, 0.8, (num, 2))
    half = random.uniform(0.05, 0.2, (num, 2))
    boxes = np.float32(np.concatenate([center - half, center + half], axis=1))
    real = np.arange(num) < there
    classes = random.integers(0, KINDS, num).astype(np.int32)
    return Objects(jnp.asarray(boxes), jnp.asarray(classes), jnp.asarray(real))


def each(objects):
    """Returns the objects that are there, as numpy values."""
    return [(np.float64(b), int(k)) for b, k, real in zip(*map(np.asarray, objects)) if real]


def test_yolo_by_a_loop_over_cells():
    objects, (rows, columns, num) = scene(), (4, 5, 2)
    cells = np.random.default_rng(1).normal(0.4, 0.3, (rows, columns, 5 * num + KINDS))
    cells = np.float32(cells)
    held = {}
    for box, kind in each(objects):
        center = (box[:2] + box[2:]) / 2
        held.setdefault((int(center[0] * rows), int(center[1] * columns)), (box, kind, center))
    expected, responsible = 0.0, 0
    for r, c in np.ndindex(rows, columns):
        own = cells[r, c, : 5 * num].reshape(num, 5).astype(np.float64)
        chosen = None
        if (r, c) in held:
            box, kind, center = held[r, c]
            middle = (np.array([r, c]) + own[:, :2]) / (rows, columns)
            found = np.concatenate(
                [middle - own[:, 2:4] ** 2 / 2, middle + own[:, 2:4] ** 2 / 2], 1
            )
            shared = overlap(found, box[None])
            chosen = int(np.argmax(shared))
            assert shared[chosen] > 0
            wanted = [*(center * (rows, columns) - (r, c)), *np.sqrt(box[2:] - box[:2])]
            expected += 5 * np.sum((own[chosen, :4] - wanted) ** 2)
            expected += (own[chosen, 4] - shared[chosen]) ** 2
            expected += np.sum((cells[r, c, 5 * num :] - np.eye(KINDS)[kind]) ** 2)
            responsible += chosen
        expected += 0.5 * sum(own[i, 4] ** 2 for i in range(num) if i != chosen)
    assert 0 < responsible < len(held)
    found = jax.jit(lambda x: yolo_v1.loss(x, objects, num, 5.0, 0.5))(cells)
    assert float(found["loss"]) == pytest.approx(expected, rel=1e-5)
    parts = {k: v for k, v in found.items() if k != "loss"}
    assert float(sum(parts.values())) == pytest.approx(expected, rel=1e-5)


def test_of_boxes_that_miss_an_object_the_nearest_by_centre_and_sides_is_responsible():
    # The object is 0.1 high about 0.25. The first box is as high, the second is nearer by corners.
    objects = Objects(jnp.float32([[0.2, 0.4, 0.3, 0.6]]), jnp.int32([0]), jnp.array([True]))
    cells = np.zeros((1, 1, 10 + KINDS), np.float32)
    for i, (middle, height) in enumerate(((0.55, 0.1), (0.5, 0.3))):
        cells[0, 0, 5 * i : 5 * i + 4] = middle, 0.5, height**0.5, 0.2**0.5
    found = jax.jit(lambda x: yolo_v1.loss(x, objects, 2, 5.0, 0.5))(cells)
    assert float(found["box_loss"]) == pytest.approx(5 * 0.3**2, rel=1e-4)


def test_yolo_detects_what_its_outputs_say():
    cells = np.zeros((2, 3, 10 + KINDS), np.float32)
    # The second box of the cell: centre in the middle, half of the height, a fourth of the width.
    cells[1, 2, 5:10] = 0.5, 0.5, 0.5**0.5, 0.5, 0.8
    cells[1, 2, 10 + 1] = 0.5
    boxes, scores = jax.jit(lambda x: yolo_v1.candidates(x, 2))(cells)
    i = int(jnp.argmax(scores.max(axis=1)))
    np.testing.assert_allclose(scores[i], [0, 0.4, 0], rtol=1e-6)
    np.testing.assert_allclose(boxes[i], [0.5, 5 / 6 - 1 / 8, 1, 5 / 6 + 1 / 8], rtol=1e-6)


MAPS = ((8, 12), (4, 6))
ANCHORS = (((6, 8), (14, 10)), ((20, 30), (40, 24)))


def darknet_loss(maps, objects, settings):
    """Returns the loss of an image by a loop over objects, and one over predictions."""
    shapes = np.array([a for own in ANCHORS for a in own], np.float64)
    taken = {}
    for box, kind in each(objects):
        size = (box[2:] - box[:2])[::-1] * SIDES[::-1]
        shared = np.minimum(shapes, size).prod(1)
        best = int(np.argmax(shared / (shapes.prod(1) + size.prod() - shared)))
        level, number = divmod(best, 2)
        rows, columns = MAPS[level]
        y, x = (box[:2] + box[2:]) / 2 * (rows, columns)
        taken.setdefault((level, int(y), int(x), number), (box, kind, size, y, x))
    total = 0.0
    for level, (rows, columns) in enumerate(MAPS):
        for r, c, a in np.ndindex(rows, columns, 2):
            t, (w, h) = maps[level][r, c, a].astype(np.float64), ANCHORS[level][a]
            center = np.array([(r + sigmoid(t[1])) / rows, (c + sigmoid(t[0])) / columns])
            half = np.array([h * np.exp(t[3]) / SIDES[0], w * np.exp(t[2]) / SIDES[1]]) / 2
            found = np.concatenate([center - half, center + half])
            shared = [overlap(found, box) for box, _ in each(objects)]
            if (level, r, c, a) not in taken:
                total += settings.empty * entropy(t[4], 0) * (max(shared) <= settings.ignore)
                continue
            box, kind, size, y, x = taken[level, r, c, a]
            weight = 2 - np.prod(box[2:] - box[:2])
            total += weight * (entropy(t[0], x - c) + entropy(t[1], y - r))
            total += weight * np.sum((t[2:4] - np.log(size / (w, h))) ** 2) / 2
            sure = overlap(found, box) if settings.rescored else 1
            total += settings.objects * entropy(t[4], sure)
            if settings.exclusive:
                total += np.log(np.sum(np.exp(t[5:]))) - t[5 + kind]
            else:
                total += np.sum(entropy(t[5:], np.eye(KINDS)[kind]))
    return total, len(taken)


@pytest.mark.parametrize(
    "settings",
    [
        anchors.Settings(0.3, 1.0, 1.0, False, False),
        pytest.param(anchors.Settings(0.1, 5.0, 0.5, True, True), marks=pytest.mark.full),
    ],
    ids=["v3", "v2"],
)
def test_anchors_by_loops(settings):
    objects, random = scene(num=6, there=5, seed=3), np.random.default_rng(2)
    maps = [np.float32(random.normal(0, 0.5, (*m, 2, 5 + KINDS))) for m in MAPS]
    expected, taken = darknet_loss(maps, objects, settings)
    assert taken > 2
    found = jax.jit(lambda x: anchors.loss(x, objects, ANCHORS, SIDES, settings))(maps)
    assert float(found["loss"]) == pytest.approx(expected, rel=2e-5)


def test_an_anchor_that_fits_is_the_box():
    maps = [np.full((*m, 2, 5 + KINDS), -20, np.float32) for m in MAPS]
    maps[1][2, 3, 0, :] = [0, 0, 0, 0, 20, -20, 20, -20]
    boxes, scores = jax.jit(lambda x: anchors.candidates(x, ANCHORS, SIDES, False))(maps)
    i = int(jnp.argmax(scores[:, 1]))
    half = np.array([30 / 64, 20 / 96]) / 2
    center = np.array([2.5 / 4, 3.5 / 6])
    np.testing.assert_allclose(boxes[i], [*(center - half), *(center + half)], rtol=1e-5)
    np.testing.assert_allclose(scores[i], [0, 1, 0], atol=1e-6)


def test_clusters_find_the_shapes_that_boxes_are_made_from():
    random = np.random.default_rng(0)
    true = np.array([[10.0, 12.0], [30.0, 20.0], [50.0, 70.0]])
    sizes = np.concatenate([t * random.uniform(0.9, 1.1, (50, 2)) for t in true])
    found = anchors.clusters(sizes, 3)
    np.testing.assert_allclose(found, true, rtol=0.05)


BINS = 4
ALIGNED = task_aligned.Settings(3, 0.5, 6.0, 7.5, 0.5, 1.5)


@jax.jit
def alike(found, objects):
    """Returns the complete overlap of each object with the box of each point."""
    truth = objects.boxes * jnp.float32([*SIDES, *SIDES])
    return complete_overlap(truth[:, None], found.boxes()[None])


def aligned_by_loops(found, objects):
    """Returns the object and the score of each point, as loops over objects and points give."""
    scores, places, truths = sigmoid(found.classes), np.asarray(found.places), each(objects)
    inside = np.zeros((len(truths), len(places)), bool)
    fit = np.zeros(inside.shape)
    shared = np.maximum(0, np.asarray(alike(found, objects))[: len(truths)])
    for n, (box, kind) in enumerate(truths):
        box = np.float32(box * np.tile(SIDES, 2))
        for p, place in enumerate(places):
            inside[n, p] = (place > box[:2]).all() and (place < box[2:]).all()
            if inside[n, p]:
                fit[n, p] = scores[p, kind] ** 0.5 * shared[n, p] ** 6
    shared = np.where(inside, shared, 0)
    taught = np.zeros(inside.shape, bool)
    for n in range(len(truths)):
        for p in np.argsort(-fit[n], kind="stable")[:3]:
            taught[n, p] = inside[n, p]
    contested = 0
    for p in range(len(places)):
        if taught[:, p].sum() > 1:
            contested += 1
            taught[:, p] = np.arange(len(truths)) == np.argmax(shared[:, p])
    number = np.full(len(places), -1)
    learned = np.zeros(len(places))
    for n in range(len(truths)):
        own = np.flatnonzero(taught[n])
        for p in own:
            number[p] = n
            learned[p] = fit[n, p] * shared[n, own].max() / (fit[n, own].max() + 1e-9)
    return number, learned, contested


def close_scene():
    """Returns objects of which two overlap so much that points belong to both."""
    boxes = [[0.2, 0.2, 0.7, 0.6], [0.25, 0.25, 0.7, 0.65], [0.5, 0.6, 0.9, 0.9], [0, 0, 1, 1]]
    real = np.array([True, True, True, False])
    return Objects(jnp.float32(boxes), jnp.int32([0, 1, 2, 0]), jnp.asarray(real))


@jax.jit
def joined(maps):
    return task_aligned.points(maps, BINS, SIDES)


def points(seed=4):
    random = np.random.default_rng(seed)
    return joined([np.float32(random.normal(0, 1, (*m, 4 * BINS + KINDS))) for m in MAPS])


def test_the_best_aligned_points_learn():
    found, objects = points(), close_scene()
    number, learned, contested = aligned_by_loops(found, objects)
    assert contested > 0
    truth = objects.boxes * jnp.float32([*SIDES, *SIDES])
    given = jax.jit(
        lambda found: task_aligned.assigned(
            jax.nn.sigmoid(found.classes), found.boxes(), found.places, truth, objects, ALIGNED
        )
    )(found)
    np.testing.assert_array_equal(given.there, number >= 0)
    np.testing.assert_array_equal(np.asarray(given.number)[number >= 0], number[number >= 0])
    np.testing.assert_allclose(given.scores, learned, rtol=1e-3, atol=1e-6)


def test_the_loss_of_aligned_points_by_a_loop():
    found, objects = points(), close_scene()
    number, learned, _ = aligned_by_loops(found, objects)
    truths, shared = each(objects), np.asarray(alike(found, objects))
    logs = np.asarray(jax.nn.log_softmax(found.distances))
    wanted = np.zeros(found.classes.shape)
    box_loss = distance_loss = 0.0
    for p in np.flatnonzero(number >= 0):
        box, kind = truths[number[p]]
        wanted[p, kind] = learned[p]
        box = np.float32(box * np.tile(SIDES, 2))
        box_loss += learned[p] * (1 - shared[number[p], p])
        place, stride = np.asarray(found.places)[p], np.asarray(found.strides)[p, 0]
        reach = np.concatenate([place - box[:2], box[2:] - place]) / stride
        for side, distance in enumerate(np.clip(reach, 0, BINS - 1.01)):
            low = int(distance)
            share = distance - low
            one = -(1 - share) * logs[p, side, low] - share * logs[p, side, low + 1]
            distance_loss += learned[p] * one / 4
    class_loss = np.sum(entropy(np.float64(found.classes), wanted))
    losses, weight = jax.jit(lambda x: task_aligned.loss(x, objects, SIDES, ALIGNED))(found)
    assert float(weight) == pytest.approx(learned.sum(), rel=1e-3)
    assert float(losses["box_loss"]) == pytest.approx(7.5 * box_loss, rel=1e-3)
    assert float(losses["distance_loss"]) == pytest.approx(1.5 * distance_loss, rel=1e-3)
    assert float(losses["class_loss"]) == pytest.approx(0.5 * class_loss, rel=1e-4)


def test_gradients_are_finite_without_objects():
    nothing = close_scene()._replace(there=jnp.zeros(4, bool))
    random = np.random.default_rng(0)

    def lost(maps):
        found = task_aligned.points(maps, BINS, SIDES)
        losses, weight = task_aligned.loss(found, nothing, SIDES, ALIGNED)
        return losses["loss"], (losses, weight)

    maps = [jnp.float32(random.normal(0, 1, (*m, 4 * BINS + KINDS))) for m in MAPS]
    slopes, (losses, weight) = jax.jit(jax.grad(lost, has_aux=True))(maps)
    assert float(weight) == float(losses["box_loss"]) == float(losses["distance_loss"]) == 0
    assert all(jnp.isfinite(slope).all() for slope in slopes)
    # Only the classes learn: that there are none.
    assert not any(slope[..., : 4 * BINS].any() for slope in slopes)


def test_a_distance_is_the_mean_of_its_distribution():
    maps = [np.full((*m, 4 * BINS + KINDS), -30, np.float32) for m in MAPS]
    # Half of 1 and half of 2 strides up, 2 strides in the other directions.
    maps[0][3, 4, [1, 2]] = 0
    maps[0][3, 4, [BINS + 2, 2 * BINS + 2, 3 * BINS + 2]] = 0
    boxes = jax.jit(lambda x: task_aligned.points(x, BINS, SIDES).boxes())(maps)
    center = np.array([3.5 * 8, 4.5 * 8])
    expected = [center[0] - 12, center[1] - 16, center[0] + 16, center[1] + 16]
    np.testing.assert_allclose(boxes[3 * 12 + 4], expected, rtol=1e-6)


def test_a_method_says_what_it_takes():
    outputs = [jnp.zeros((1, 4, 4, 9))]
    objects = jax.tree.map(lambda x: x[None], scene())
    for method, message in (
        (methods.grid(3), r"takes one map \(b, rows, columns, 8\), but the .*\(1, 4, 4, 9\)"),
        (methods.yolo(3), r"one map \(b, rows, columns, 13\)"),
        (methods.anchors(3), r"end in \[\(3, 8\), \(3, 8\), \(3, 8\)\], but"),
        (methods.aligned(3), r"end in \[\(67,\)\], but"),
    ):
        with pytest.raises(ValueError, match=message):
            method.losses(outputs, objects, SIDES)
    with pytest.raises(ConfigError, match=r"ignore=1.5: valid are 0 to 1"):
        methods.anchors(3, ignore=1.5)
    with pytest.raises(ConfigError, match=r"anchors=\(\(\(0, 3\),\),\): each map has"):
        methods.anchors(3, anchors=(((0, 3),),))
