"""Segmentation against what was computed by hand, pixel by pixel."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from library import maps, painting
from library.config import ConfigError
from library.summaries import summarize
from library.task import minimize
from library.tasks.segmentation import segmentation

KEY = jax.random.key(0)
NUM = 3


class Echo(nn.Module):
    """Takes its input, plus a bias a class, for the logits."""

    num_classes: int = NUM

    @nn.compact
    def __call__(self, image, train=False):
        return image + self.param("bias", nn.initializers.zeros, (self.num_classes,))


def build(**arguments):
    def learn(loss):
        return minimize(loss, optax.sgd(1.0))

    return segmentation(Echo(), learn, num_classes=NUM, **arguments)


def batch_of(seed=0, mask=(1, 1, 0)):
    random = np.random.default_rng(seed)
    classes = random.integers(0, NUM, (3, 4, 5)).astype(np.int32)
    classes[0, 0] = maps.UNKNOWN
    place = jnp.arange(3, dtype=jnp.uint32)
    logits = jnp.asarray(random.normal(size=(3, 4, 5, NUM)), jnp.float32)
    given = dict(image=logits, map=jnp.asarray(classes), mask=jnp.float32(mask))
    return {**given, "index": place, "row": place}


def by_hand(batch, weights=(1.0, 1.0, 1.0)):
    """Returns the loss, and the matrix of true and predicted classes."""
    total, weight, matrix = 0.0, 0.0, np.zeros((NUM, NUM))
    image, classes = np.asarray(batch["image"], np.float64), np.asarray(batch["map"])
    for i, j, k in np.argwhere(
        (classes != maps.UNKNOWN) & (np.asarray(batch["mask"]) > 0)[:, None, None]
    ):
        logits, label = image[i, j, k], classes[i, j, k]
        total += weights[label] * (np.log(np.exp(logits).sum()) - logits[label])
        weight += weights[label]
        matrix[label, logits.argmax()] += 1
    return total / weight, matrix


@pytest.mark.parametrize("weights", [(0.5, 2.0, 1.0), pytest.param(None, marks=pytest.mark.full)])
def test_loss_and_matrix_are_over_the_known_pixels(weights):
    task, batch = build(class_weights=weights), batch_of()
    state = task.init(KEY, batch)
    loss, matrix = by_hand(batch, weights or (1, 1, 1))
    got = summarize(jax.device_get(task.evaluate(state, batch, KEY)), task.summaries)
    assert got["loss"] == pytest.approx(loss, rel=1e-6)
    np.testing.assert_array_equal(got["confusion"], matrix)
    union = matrix.sum(0) + matrix.sum(1) - np.diag(matrix)
    assert got["mean_iou"] == pytest.approx(np.mean(np.diag(matrix) / union), rel=1e-12)
    _, measured = task.update(state, batch, KEY)
    found = summarize({k: v for k, v in measured.items() if k != "nonfinite"})
    assert found["loss"] == pytest.approx(loss, rel=1e-6)
    assert found["pixel_accuracy"] == pytest.approx(np.trace(matrix) / matrix.sum(), rel=1e-6)


def test_weights_of_classes_and_pixels_come_with_the_examples():
    batch = batch_of()
    random = np.random.default_rng(1)
    fitted = np.float32(random.uniform(0.5, 2, (3, NUM)))
    field = np.float32(random.uniform(0, 3, (3, 4, 5)))
    field[0, 0] = np.nan  # The pixels there are not known.
    task = build(class_weights="map_weights", weight="borders")
    given = {**batch, "map_weights": jnp.asarray(fitted), "borders": jnp.asarray(field)}
    got = summarize(jax.device_get(task.evaluate(task.init(KEY, given), given, KEY)))
    total = weight = 0.0
    image, classes = np.asarray(batch["image"], np.float64), np.asarray(batch["map"])
    for i, j, k in np.argwhere((classes != maps.UNKNOWN) & np.array([1, 1, 0])[:, None, None]):
        own = fitted[i, classes[i, j, k]] * field[i, j, k]
        logits = image[i, j, k]
        total += own * (np.log(np.exp(logits).sum()) - logits[classes[i, j, k]])
        weight += own
    assert got["loss"] == pytest.approx(total / weight, rel=1e-6)
    with pytest.raises(ConfigError, match=r"'map_weights' has the shape \(2,\), expected \(3,\)"):
        task.evaluate(task.init(KEY, given), {**given, "map_weights": jnp.ones((3, 2))}, KEY)
    with pytest.raises(ConfigError, match="the examples have no such feature; the preprocessing"):
        task.evaluate(task.init(KEY, batch), {**batch, "borders": given["borders"]}, KEY)


def test_dice_is_the_overlap_of_the_areas_of_each_image():
    batch, weights = batch_of(), (0.5, 2.0, 1.0)
    task = build(loss="dice", class_weights=weights)
    state = task.init(KEY, batch)
    expected = []
    for i in (0, 1):
        image, classes = np.asarray(batch["image"][i], np.float64), np.asarray(batch["map"][i])
        known = classes != maps.UNKNOWN
        share = np.exp(image) / np.exp(image).sum(-1, keepdims=True)
        each = []
        for k in range(NUM):
            area, true = share[..., k][known].sum(), (classes == k).sum()
            both = share[..., k][classes == k].sum()
            each.append((2 * both + 1) / (area + true + 1))
        expected.append(1 - np.average(each, weights=weights))
    got = summarize(jax.device_get(task.evaluate(state, batch, KEY)), task.summaries)
    assert got["loss"] == pytest.approx(np.mean(expected), rel=1e-6)
    assert np.isfinite(task.update(state, batch, KEY)[0].params["bias"]).all()
    strange = {**batch, "map": batch["map"].at[1, 2, 2].set(7)}
    assert np.isnan(summarize(jax.device_get(task.evaluate(state, strange, KEY)))["loss"])


def test_each_image_has_a_mean_iou_and_an_error():
    task, batch = build(), batch_of()
    batch["map"] = batch["map"].at[2].set(maps.UNKNOWN)
    state = task.init(KEY, batch)
    found = np.asarray(task.outputs["mean_iou"](state, batch, KEY))
    for i in (0, 1):
        classes, likely = np.asarray(batch["map"][i]), np.asarray(batch["image"][i]).argmax(-1)
        known = classes != maps.UNKNOWN
        pairs = [(classes[known] == k, likely[known] == k) for k in range(NUM)]
        each = [(a & b).sum() / (a | b).sum() for a, b in pairs if (a | b).any()]
        assert found[i] == pytest.approx(np.mean(each), rel=1e-6)
    assert np.isnan(found[2])
    error = np.asarray(task.outputs["error"](state, batch, KEY))
    np.testing.assert_array_equal(error[:2], 1 - found[:2])


def test_pixels_without_logits_do_not_count():
    class Inner(Echo):
        @nn.compact
        def __call__(self, image, train=False):
            bias = self.param("bias", nn.initializers.zeros, (self.num_classes,))
            return image[:, 1:-1, 1:-1] + bias

    def learn(loss):
        return minimize(loss, optax.sgd(1.0))

    batch = batch_of()
    task = segmentation(Inner(), learn, num_classes=NUM, margin=1)
    got = summarize(jax.device_get(task.evaluate(task.init(KEY, batch), batch, KEY)))
    inner = {**batch, **{k: batch[k][:, 1:-1, 1:-1] for k in ("image", "map")}}
    assert got["loss"] == pytest.approx(by_hand(inner)[0], rel=1e-6)
    shown = task.outputs["overlay"](task.init(KEY, batch), batch, KEY)
    assert shown.shape == (3, 3, 2, 3, 3)


def test_a_step_moves_by_the_mean_over_pixels():
    task, batch = build(), batch_of()
    state, _ = task.update(task.init(KEY, batch), batch, KEY)
    image, classes = np.asarray(batch["image"], np.float64), np.asarray(batch["map"])
    known = (classes != maps.UNKNOWN) & (np.asarray(batch["mask"]) > 0)[:, None, None]
    error = (
        np.exp(image) / np.exp(image).sum(-1, keepdims=True)
        - np.eye(NUM)[np.where(known, classes, 0)]
    )
    np.testing.assert_allclose(state.params["bias"], -error[known].mean(0), rtol=1e-5)


def test_a_class_that_there_is_not_is_seen():
    batch = batch_of()
    batch["map"] = batch["map"].at[1, 2, 2].set(7)
    task = build()
    assert np.isnan(
        summarize(jax.device_get(task.evaluate(task.init(KEY, batch), batch, KEY)))["loss"]
    )


def test_maps_and_weights_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="class_weights has 2 values for 3 classes"):
        build(class_weights=(1.0, 2.0))
    task, batch = build(), batch_of()
    state = task.init(KEY, batch)
    with pytest.raises(ConfigError, match="the map 'map' has shape"):
        task.evaluate(state, {**batch, "map": batch["map"][:, ::2]}, KEY)


def test_the_overlay_shows_image_truth_and_prediction():
    task = build(unnormalize=lambda image: image / 2 + 0.5)
    batch = batch_of()
    batch["image"] = jnp.clip(batch["image"], -0.9, 0.9)
    made = np.asarray(task.outputs["overlay"](task.init(KEY, batch), batch, KEY))
    assert made.shape == (3, 3, 4, 5, 3)
    image = np.asarray(batch["image"]) * 127.5 + 127.5
    np.testing.assert_allclose(made[:, 0], image, atol=0.6)
    table = painting.colours(NUM).astype(np.float64)
    prediction = np.asarray(batch["image"]).argmax(-1)
    for row, classes in ((1, np.asarray(batch["map"])), (2, prediction)):
        shown = (classes > 0) & (classes < NUM)
        expected = np.where(
            shown[..., None], (table[np.where(shown, classes, 0)] + image) / 2, image
        )
        np.testing.assert_allclose(made[:, row], expected, atol=0.6)


def test_each_class_has_a_colour_of_its_own():
    assert len({tuple(colour) for colour in painting.colours(40)}) == 40
    painted = np.asarray(painting.painted(jnp.array([[0, 1], [2, maps.UNKNOWN]]), NUM))
    np.testing.assert_array_equal(painted[0], painting.colours(NUM)[:2])
    np.testing.assert_array_equal(painted[1, 1], [128, 128, 128])
