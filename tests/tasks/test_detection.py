"""Detection against boxes that were placed, and counted, by hand."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from library import painting
from library.config import ConfigError
from library.object_detection import grid
from library.object_detection.objects import Objects
from library.object_detection.suppression import suppressed
from library.summaries import summarize
from library.task import minimize
from library.tasks import detection as module
from library.tasks.detection import detection

KEY = jax.random.key(0)
NUM, ROWS, COLUMNS = 2, 2, 3


class Echo(nn.Module):
    """Takes what it is to say of each cell for its input."""

    num_classes: int = NUM

    @nn.compact
    def __call__(self, cells, train=False):
        return cells + self.param("bias", nn.initializers.zeros, (5 + NUM,))


def logit(p):
    return np.log(p / (1 - p))


def cells_of(*objects):
    """Returns logits of a grid that detects (y, x, height, width, confidence, class)."""
    cells = np.zeros((ROWS, COLUMNS, 5 + NUM), np.float32)
    cells[..., 4] = -8
    for y, x, height, width, sure, number in objects:
        row, column = int(y * ROWS), int(x * COLUMNS)
        place = (y * ROWS - row, x * COLUMNS - column)
        cells[row, column, :5] = logit(np.array([*place, height, width, sure]))
        cells[row, column, 5 + number] = 9
    return cells


def box(y, x, height, width):
    return [y - height / 2, x - width / 2, y + height / 2, x + width / 2]


def batch_of(cells, boxes, labels):
    """One image, its objects padded to three, and a second that is padding of the batch."""
    missing = 3 - len(boxes)
    own = np.float32([*boxes, *[[0, 0, 0, 0]] * missing])
    held = np.float32([1] * len(boxes) + [0] * missing)
    place = jnp.arange(2, dtype=jnp.uint32)
    one = dict(image=cells, boxes=own, boxes_label=np.int32([*labels, *[0] * missing]))
    one["boxes_mask"] = held
    batch = {name: jnp.stack([jnp.asarray(x)] * 2) for name, x in one.items()}
    return {**batch, "mask": jnp.float32([1, 0]), "index": place, "row": place}


def build(**arguments):
    return detection(
        Echo(), lambda loss: minimize(loss, optax.sgd(0.1)), num_classes=NUM, **arguments
    )


def evaluated(batch, **arguments):
    return evaluator(**arguments)(batch)


def evaluator(**arguments):
    """Returns a function from a batch to the task's metrics, compiled once."""
    task = build(**arguments)
    compiled = jax.jit(lambda batch: task.evaluate(task.init(KEY, batch), batch, KEY))
    return lambda batch: summarize(jax.device_get(compiled(batch)), task.summaries)


SEEN = ((0.25, 0.2, 0.3, 0.2, 0.9, 1), (0.7, 0.8, 0.2, 0.3, 0.8, 0))


def test_what_is_found_where_it_is_counts_as_right():
    boxes, evaluated = [box(*each[:4]) for each in SEEN], evaluator()
    got = evaluated(batch_of(cells_of(*SEEN), boxes, [1, 0]))
    assert (got["precision"], got["recall"], got["f1"]) == (1, 1, 1)
    wrong = evaluated(batch_of(cells_of(*SEEN), boxes, [1, 1]))
    assert (wrong["precision"], wrong["recall"]) == (0.5, 0.5)
    missed = evaluated(batch_of(cells_of(SEEN[0]), boxes, [1, 0]))
    assert (missed["precision"], missed["recall"]) == (1, 0.5)
    unsure = evaluator(confidence=0.85)(batch_of(cells_of(*SEEN), boxes, [1, 0]))
    assert (unsure["precision"], unsure["recall"]) == (1, 0.5)


def test_of_two_boxes_of_one_object_the_surer_is_kept():
    # Beside each other in neighbouring cells, and almost the same.
    twice = ((0.25, 0.32, 0.4, 0.4, 0.9, 0), (0.25, 0.35, 0.4, 0.4, 0.8, 0))
    cells = cells_of(*twice)

    @jax.jit
    def detected(cells, overlap):
        return suppressed(*grid.candidates(cells), num=5, least=0.5, overlap=overlap)

    rows = detected(cells, 0.5)
    assert np.flatnonzero(rows[:, 4]).tolist() == [0]
    np.testing.assert_allclose(rows[0], [*box(*twice[0][:4]), 0.9, 0], atol=1e-6)
    rows = detected(cells, 0.95)
    np.testing.assert_allclose(rows[:3, 4], [0.9, 0.8, 0], rtol=1e-6)
    apart = jax.tree.map(lambda x: x[0], module._sure(rows[None], 0.5))
    # An object is found once: of two boxes about it one is wrong.
    wanted = Objects(jnp.float32([box(*twice[0][:4])]), jnp.int32([0]), jnp.array([True]))
    counts = jax.jit(lambda found: module._counts(found, wanted, 0.5))(apart)
    np.testing.assert_array_equal(counts, [1, 2, 1])


def test_a_detection_takes_the_object_that_it_overlaps_most():
    # The first overlaps both objects, by 8/12 and by 9/11; the second overlaps the first alone.
    found = jnp.float32([[0.2, 0, 1.2, 1], [-0.2, 0, 0.8, 1]])
    wanted = jnp.float32([[0, 0, 1, 1], [0.3, 0, 1.3, 1]])
    kinds, there = jnp.int32([0, 0]), jnp.array([True, True])
    counts = jax.jit(lambda *boxes: module._counts(*[Objects(x, kinds, there) for x in boxes], 0.6))
    np.testing.assert_array_equal(counts(found, wanted), [2, 2, 2])


def test_the_loss_of_a_cell_by_hand():
    y, x, height, width, _, number = SEEN[0]
    cells = cells_of(SEEN[0])
    cells[0, 0, :5] = 0
    batch = batch_of(cells, [box(y, x, height, width)], [number])
    coordinates = (0.5 - y * ROWS) ** 2 + (0.5 - x * COLUMNS) ** 2
    coordinates += (0.5**0.5 - height**0.5) ** 2 + (0.5**0.5 - width**0.5) ** 2
    kind = np.log(1 + np.exp(-9.0))
    empty = np.log(1 + np.exp(-8.0)) * (ROWS * COLUMNS - 1)
    method = dict(name="grid", coordinate_weight=3.0, empty_weight=0.25)
    got = evaluated(batch, method=method)
    assert got["loss"] == pytest.approx(3 * coordinates + kind + np.log(2) + 0.25 * empty, rel=1e-5)


def test_no_object_and_padding_cost_only_confidence():
    got = evaluated(batch_of(cells_of(), [], []))
    assert got["loss"] == pytest.approx(0.5 * ROWS * COLUMNS * np.log(1 + np.exp(-8.0)), rel=1e-5)
    assert np.isnan(got["recall"])


def test_frames_are_drawn_where_the_boxes_are():
    image = jnp.zeros((1, 8, 10, 1))
    boxes = jnp.float32([[[0.25, 0.2, 0.75, 0.6], [0, 0, 1, 1]]])
    framed = jax.jit(painting.framed, static_argnums=4)
    drawn = np.asarray(framed(image, boxes, jnp.int32([[1, 0]]), jnp.array([[True, False]]), NUM))
    expected = np.zeros((8, 10), bool)
    expected[2:7, 2:7] = True
    expected[3:6, 3:6] = False
    np.testing.assert_array_equal(drawn[0].any(-1), expected)
    np.testing.assert_array_equal(drawn[0, 2, 2], painting.colours(NUM + 1)[2])


def test_rows_hold_unsure_detections_that_are_not_counted():
    unsure = (0.7, 0.8, 0.2, 0.3, 0.1, 0)
    batch = batch_of(cells_of(SEEN[0], unsure), [box(*SEEN[0][:4])], [1])
    task = build(num_detections=4, least=0.01)
    rows = jax.jit(task.outputs["detections"])(task.init(KEY, batch), batch, KEY)
    assert rows.shape == (2, 4, 6)
    np.testing.assert_allclose(rows[0, :, 4], [0.9, 0.1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(rows[0, 1, :4], box(*unsure[:4]), atol=1e-6)
    got = evaluated(batch, num_detections=4, least=0.01)
    assert (got["precision"], got["recall"]) == (1, 1)


@pytest.mark.full
def test_only_the_best_candidates_are_compared():
    # The second box is of the first's object, and takes the place of another object's.
    twice = ((0.25, 0.32, 0.4, 0.4, 0.9, 0), (0.25, 0.35, 0.4, 0.4, 0.8, 0))
    batch = batch_of(cells_of(*twice, (0.7, 0.8, 0.2, 0.3, 0.7, 0)), [], [])
    for candidates, found in ((2, [0.9, 0]), (3, [0.9, 0.7])):
        task = build(num_detections=2, candidates=candidates)
        rows = jax.jit(task.outputs["detections"])(task.init(KEY, batch), batch, KEY)
        np.testing.assert_allclose(rows[0, :, 4], found, rtol=1e-5)


def test_error_is_the_loss_of_each_image():
    batch = batch_of(cells_of(*SEEN), [box(*each[:4]) for each in SEEN], [1, 0])
    task = build()
    error = jax.jit(task.outputs["error"])(task.init(KEY, batch), batch, KEY)
    assert error.shape == (2,)
    assert float(error[0]) == pytest.approx(evaluated(batch)["loss"], rel=1e-6)


class Maps(nn.Module):
    """Gives a constant map of 1x1 cells that starts at zeros, for `aligned` of two bins."""

    num_classes: int = NUM

    @nn.compact
    def __call__(self, image, train=False):
        made = self.param("map", nn.initializers.zeros, (2, 2, 8 + NUM))
        return (jnp.broadcast_to(made, (len(image), *made.shape)),)


@pytest.mark.full
def test_the_loss_of_a_batch_is_divided_by_what_its_points_learn():
    # Accumulated in parts it is the same, though parts have other sums.
    boxes = jnp.float32(
        [[[0.1, 0.1, 0.9, 0.9]], [[0, 0, 0.5, 0.5]], [[0, 0, 1, 1]], [[0, 0, 1, 1]]]
    )
    order = jnp.arange(4, dtype=jnp.uint32)
    batch = dict(
        image=jnp.zeros((4, 8, 8, 1)),
        boxes=boxes,
        boxes_label=jnp.int32([[0], [1], [1], [0]]),
        boxes_mask=jnp.float32([[1], [1], [0], [1]]),
        mask=jnp.float32([1, 1, 1, 0]),
        index=order,
        row=order,
    )
    method = dict(name="aligned", num_bins=2)
    steps = []
    for parts in (1, 2):
        task = detection(
            Maps(),
            lambda loss, parts=parts: minimize(loss, optax.sgd(0.1), accumulate=parts),
            num_classes=NUM,
            method=method,
        )
        state, metrics = jax.jit(task.update)(task.init(KEY, batch), batch, KEY)
        steps.append(jax.device_get((state.params, metrics["loss"])))
    for ours, theirs in zip(*map(jax.tree.leaves, steps)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)
    assert 0 < steps[0][1][1] < 3
    assert np.abs(steps[0][0]["map"]).max() > 0


def test_values_out_of_range_are_refused():
    with pytest.raises(ConfigError, match=r"overlap=1.5: valid are numbers between 0 and 1"):
        build(overlap=1.5)
    with pytest.raises(ConfigError, match=r"least=0.6 is above confidence=0.5: .* up to 0.5"):
        build(least=0.6)
    with pytest.raises(ConfigError, match="num_detections=100, candidates=99: valid are"):
        build(candidates=99)
    with pytest.raises(ConfigError, match="unknown method 'yolov8'"):
        build(method=dict(name="yolov8"))
