import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from library.config import ConfigError
from library.data.builders import overlapping_digits
from library.evaluation.context import Context
from library.evaluation.mask_precision import mask_precision
from library.models.dense.solo import solo
from library.task import minimize
from library.tasks.instances import (
    cells_of,
    dice_loss,
    found_in,
    instances,
    losses,
    objects_of,
    overlaps,
)

KEY = jax.random.key(0)
SGD = functools.partial(minimize, optimizer=optax.sgd(0.1))
# Two overlapping squares: bits 1 and 2. The third object is not there.
BITS = np.zeros((1, 8, 8), np.int32)
BITS[0, 0:4, 0:4] |= 1
BITS[0, 2:8, 2:8] |= 2
CLASSES = np.int32([[1, 0, -1]])
# Compiled as a whole: one by one their operations take seconds to compile.
OBJECTS, LOSSES = jax.jit(objects_of), jax.jit(losses)
FOUND = jax.jit(found_in, static_argnums=(2, 3))


def test_bits_are_masks_and_a_mask_belongs_to_the_cell_of_its_centre():
    wanted = OBJECTS(jnp.asarray(BITS), jnp.asarray(CLASSES))
    np.testing.assert_array_equal(wanted.masks[0].sum((1, 2)), [16, 36, 0])
    np.testing.assert_array_equal(wanted.there, [[True, True, False]])
    # The centres are (2, 2) and (5, 5) of 8.
    np.testing.assert_array_equal(cells_of(wanted.masks, 4)[0, :2], [1 * 4 + 1, 2 * 4 + 2])
    np.testing.assert_array_equal(
        overlapping_digits.masks_of(BITS, 3), np.asarray(wanted.masks, np.uint8)
    )


def test_losses_by_hand():
    random = np.random.default_rng(0)
    classes = random.normal(size=(1, 4, 4, 2)).astype(np.float32)
    masks = random.normal(size=(1, 8, 8, 16)).astype(np.float32)
    wanted = OBJECTS(jnp.asarray(BITS), jnp.asarray(CLASSES))
    class_loss, mask_loss = LOSSES(jnp.asarray(classes), jnp.asarray(masks), wanted)
    truth = np.zeros((4, 4, 2))
    truth[1, 1, 1] = truth[2, 2, 0] = 1
    p = 1 / (1 + np.exp(-classes[0]))
    right = np.where(truth > 0, p, 1 - p)
    weight = np.where(truth > 0, 0.25, 0.75) * (1 - right) ** 2
    assert class_loss[0] == pytest.approx((weight * -np.log(right)).sum() / 2, rel=1e-4)
    dice = []
    for cell, mask in ((5, BITS[0] & 1), (10, BITS[0] >> 1 & 1)):
        soft = 1 / (1 + np.exp(-masks[0, :, :, cell]))
        dice.append(1 - 2 * (soft * mask).sum() / ((soft**2).sum() + mask.sum()))
    assert mask_loss[0] == pytest.approx(np.mean(dice), rel=1e-4)


def test_of_two_objects_in_a_cell_the_later_is_trained():
    bits = jnp.asarray(np.where(np.indices((1, 8, 8))[1] % 2 == 0, 3, 2).astype(np.int32))
    wanted = OBJECTS(bits, jnp.array([[0, 1]], jnp.int32))
    classes, masks = jnp.full((1, 1, 1, 2), -9.0), jnp.full((1, 8, 8, 1), 9.0)
    class_loss, mask_loss = LOSSES(classes.at[..., 1].set(9.0), masks, wanted)
    assert class_loss[0] < 1e-3
    assert mask_loss[0] < 1e-3
    # The mean is over the later one alone. Its mask covers all; of what is found, half: 1 - 2/3.
    half = jnp.where(jnp.arange(8)[:, None, None] < 4, masks, -99.0)
    assert LOSSES(classes, half, wanted)[1][0] == pytest.approx(1 / 3, abs=1e-3)


def test_dice_of_equal_and_of_apart_masks():
    a = jnp.zeros((4, 4)).at[0].set(1)
    assert dice_loss(a, a) == pytest.approx(0, abs=1e-5)
    assert dice_loss(a, 1 - a) == pytest.approx(1)
    np.testing.assert_allclose(overlaps(jnp.stack([a, 1 - a]), a[None]), [[1], [0]])


def found(most=4, overlap=0.5):
    """Finds objects where three cells are sure of squares, two of them the same."""
    classes = np.full((2, 2, 2), -9.0, np.float32)
    masks = np.full((8, 8, 4), -9.0, np.float32)
    for cell, kind, sure, rows in ((0, 1, 3.0, (0, 4)), (1, 1, 2.0, (0, 5)), (3, 0, 1.0, (0, 4))):
        classes.reshape(4, 2)[cell, kind] = sure
        masks[rows[0] : rows[1], :, cell] = 9.0
    return FOUND(jnp.asarray(classes), jnp.asarray(masks), most, overlap)


def test_a_less_sure_mask_of_the_same_class_leaves():
    masks, kinds, scores = found()
    assert masks.shape == (4, 8, 8)
    # The second overlaps the first by 4/5; the third has another class and stays.
    np.testing.assert_array_equal(kinds[:2], [1, 0])
    expected = 1 / (1 + np.exp(-np.array([3.0, 1.0])))
    np.testing.assert_allclose(scores[:2], expected, rtol=1e-3)
    # The cell without an object has a small score and no pixel of its own.
    assert (np.asarray(scores[2:]) < 1e-3).all()
    np.testing.assert_array_equal(masks[0], np.arange(8)[:, None] * np.ones((1, 8)) < 4)
    loose = found(overlap=0.9)
    np.testing.assert_array_equal(loose[1][:3], [1, 1, 0])
    assert found(most=1)[0].shape == (1, 8, 8)
    assert found(most=9)[2].shape == (9,)
    assert (np.asarray(found(most=9)[2][4:]) == 0).all()


class Known(nn.Module):
    """Gives the true objects of `BITS`, as sure as its only param says."""

    num_classes: int = 2

    @nn.compact
    def __call__(self, image, train=False):
        sure = self.param("sure", nn.initializers.constant(9.0), ())
        classes = jnp.full((len(image), 4, 4, 2), -9.0)
        classes = classes.at[:, 1, 1, 1].set(sure).at[:, 2, 2, 0].set(sure)
        masks = jnp.full((len(image), 8, 8, 16), -9.0)
        for cell, bit in ((5, 1), (10, 2)):
            masks = masks.at[..., cell].set(jnp.where(BITS & bit, 9.0, -9.0))
        return classes, masks


def make_batch():
    return {
        "image": jnp.zeros((1, 8, 8, 1)),
        "map": jnp.asarray(BITS),
        "digits": jnp.asarray(CLASSES),
        "index": jnp.arange(1, dtype=jnp.uint32),
        "mask": jnp.ones(1),
    }


def test_what_knows_the_truth_has_no_error_and_full_precision():
    task, batch = instances(Known(), SGD, num_classes=2), make_batch()
    state = task.init(KEY, batch)
    each = (task.evaluate, task.outputs["error"], task.outputs["overlay"])
    measured, error, shown = jax.jit(lambda *given: [f(*given) for f in each])(state, batch, KEY)
    assert measured["loss"][0] < 0.01
    np.testing.assert_allclose(error, [0], atol=1e-6)
    assert shown.shape == (1, 3, 8, 8, 3)
    assert shown[0, 0].max() == 0
    np.testing.assert_array_equal(shown[0, 1].any(-1), BITS[0] > 0)
    moved, _ = jax.jit(task.update)(state, batch, KEY)
    assert np.isfinite(moved.params["sure"])

    def collect(function):
        compiled = jax.jit(function)
        return lambda state, batch: jax.device_get(compiled(state, batch, KEY))

    context = Context(task, lambda split, size: [batch], collect, collect, label_names=("a", "b"))
    precision = mask_precision(context)(state)
    assert (precision["ap"], precision["ap50"], precision["ap75"]) == pytest.approx((1, 1, 1))
    np.testing.assert_allclose(precision["class_ap"], [1, 1])


def test_the_network_gives_a_class_and_a_mask_for_each_cell():
    model = solo(num_classes=3, grid=4, widths=(4, 8), width=6)
    image = jnp.zeros((2, 16, 16, 1))
    (classes, masks), variables = jax.eval_shape(model.init_with_output, KEY, image)
    assert classes.shape == (2, 4, 4, 3)
    assert masks.shape == (2, 16, 16, 16)
    assert variables["params"]["mask1"]["kernel"].shape[2] == 6 + 2
    with pytest.raises(ValueError, match="SOLO takes images of 8x8 or larger"):
        jax.eval_shape(solo().init, KEY, jnp.zeros((1, 4, 4, 1)))


def test_digits_of_a_scene_have_their_masks():
    digits = np.zeros((2, 28, 28), np.uint8)
    digits[0, 5:20, 10:14], digits[1, 3:9, 3:25] = 200, 100
    image, bits = overlapping_digits.scene(digits, np.random.RandomState(0))
    first, second, third = overlapping_digits.masks_of(bits)
    assert (first.sum(), second.sum(), third.sum()) == (15 * 4, 6 * 22, 0)
    assert (image[first > 0] == 200).all()
    assert (image[(second > 0) & (first == 0)] == 100).all()
    assert (image[bits == 0] == 0).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(most=0), "most=0"),
        (dict(overlap=0.0), "overlap=0.0"),
        (dict(num_classes=3), "num_classes=2, but the task has num_classes=3"),
    ],
)
def test_requests_that_do_not_fit(arguments, message):
    with pytest.raises(ConfigError, match=message):
        instances(Known(), SGD, **{"num_classes": 2, **arguments})
