import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from library import config
from library.config import ConfigError
from library.layers.intermediates import store
from library.task import minimize
from library.tasks import classification as module
from library.tasks.classification import classification

KEY = jax.random.key(0)
SGD = functools.partial(minimize, optimizer=optax.sgd(1.0))


class Echo(nn.Module):
    """Logits are the image's channels plus a bias, so that a test can choose them."""

    num_classes: int

    @nn.compact
    def __call__(self, image, train=False):
        return image[:, 0, 0] + self.param("bias", nn.initializers.zeros, (self.num_classes,))


class Small(nn.Module):
    num_classes: int
    dropout: float = 0.0

    @nn.compact
    def __call__(self, image, train=False):
        x = nn.Dense(6, name="hidden")(image.reshape(image.shape[0], -1))
        self.sow("intermediates", "stage1", x, init_fn=lambda: None, reduce_fn=lambda _, new: new)
        x = nn.BatchNorm(use_running_average=not train, momentum=0.9, name="norm")(x)
        x = nn.Dropout(self.dropout, deterministic=not train, name="dropout")(x)
        self.sow("intermediates", "features", x, init_fn=lambda: None, reduce_fn=lambda _, new: new)
        return nn.Dense(self.num_classes, name="head")(x)


def make_batch(logits, label, mask=None):
    logits = np.asarray(logits, np.float32)
    size = len(logits)
    return {
        "image": jnp.asarray(logits[:, None, None, :]),
        "label": jnp.asarray(label),
        "index": jnp.arange(size, dtype=jnp.uint32),
        "mask": jnp.ones(size) if mask is None else jnp.asarray(mask, jnp.float32),
    }


def log_softmax(logits):
    logits = np.asarray(logits, np.float64)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def bernoulli_terms(logits, targets):
    logits = np.asarray(logits, np.float64)
    yes, no = 1 / (1 + np.exp(-logits)), 1 / (1 + np.exp(logits))
    return -(targets * np.log(yes) + (1 - targets) * np.log(no))


def train_metrics(batch, num_classes, **arguments):
    task = classification(Echo(num_classes), SGD, num_classes=num_classes, **arguments)
    state, metrics = jax.jit(task.update)(task.init(KEY, batch), batch, KEY)
    return jax.device_get((state, metrics))


def eval_metrics(batch, num_classes, **arguments):
    task = classification(Echo(num_classes), SGD, num_classes=num_classes, **arguments)
    return jax.device_get(jax.jit(task.evaluate)(task.init(KEY, batch), batch, KEY))


def close(pair, expected):
    np.testing.assert_allclose(pair[0], expected[0], rtol=2e-6, atol=1e-6)
    np.testing.assert_allclose(pair[1], expected[1], rtol=1e-6)


RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(size=(6, 4)) * 2
LABEL = np.array([0, 3, 1, 1, 2, 0], np.int32)
MASK = np.array([1, 1, 0, 1, 1, 0])
MIXED = np.eye(4, dtype=np.float32)[LABEL] * 0.7 + np.eye(4, dtype=np.float32)[LABEL[::-1]] * 0.3
WEIGHTS = (0.5, 2.0, 1.0, 3.0)


@pytest.mark.parametrize("label", [LABEL, MIXED], ids=["numbers", "mixed"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
def test_softmax_loss_and_gradient_by_hand(label, smoothing, weights):
    batch = make_batch(LOGITS, label, MASK)
    arguments = dict(label_smoothing=smoothing, class_weights=weights)
    state, metrics = train_metrics(batch, 4, **arguments)
    dense = np.eye(4)[LABEL] if label.ndim == 1 else MIXED
    targets = (1 - smoothing) * dense + smoothing / 4
    weight = MASK * (1.0 if weights is None else dense @ np.array(weights))
    losses = -(targets * log_softmax(LOGITS)).sum(-1)
    close(metrics["loss"], ((weight * losses).sum(), weight.sum()))
    gradient = weight @ (np.exp(log_softmax(LOGITS)) - targets) / weight.sum()
    np.testing.assert_allclose(state.params["bias"], -gradient, atol=1e-6)
    unsmoothed = -(dense * log_softmax(LOGITS)).sum(-1)
    evaluated = eval_metrics(batch, 4, **arguments)["loss"]
    close(evaluated, ((weight * unsmoothed).sum(), weight.sum()))


@pytest.mark.parametrize("label", [LABEL, MIXED], ids=["numbers", "mixed"])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_sigmoid_loss_and_gradient_by_hand(label, weights, reduction):
    batch = make_batch(LOGITS, label, MASK)
    arguments = dict(label_smoothing=0.2, class_weights=weights, reduction=reduction)
    state, metrics = train_metrics(batch, 4, loss="sigmoid", **arguments)
    dense = np.eye(4)[LABEL] if label.ndim == 1 else MIXED
    targets = 0.8 * dense + 0.2 / 4
    each = np.ones(4) if weights is None else np.array(weights)
    each = each / each.sum() if reduction == "mean" else each
    close(metrics["loss"], (MASK @ (bernoulli_terms(LOGITS, targets) @ each), 4))
    gradient = MASK @ ((1 / (1 + np.exp(-LOGITS)) - targets) * each) / 4
    np.testing.assert_allclose(state.params["bias"], -gradient, atol=1e-6)


def test_training_accuracy_is_against_the_highest_soft_label():
    logits = [[3, 1, 0], [3, 1, 0], [0, 1, 3], [0, 1, 3]]
    label = np.float32([[0.4, 0.35, 0.25], [0.4, 0.6, 0], [0.5, 0, 0.5], [0, 0, 1]])
    _, metrics = train_metrics(make_batch(logits, label, [1, 1, 1, 0]), 3)
    close(metrics["accuracy"], (2, 3))


def test_evaluation_by_hand():
    random = np.random.default_rng(1)
    logits, label = random.normal(size=(40, 7)), random.integers(0, 7, 40).astype(np.int32)
    mask = (np.arange(40) < 33).astype(np.float32)
    metrics = eval_metrics(make_batch(logits, label, mask), 7)
    assert set(metrics) == {"loss", "accuracy", "top5", "confusion", "calibration"}
    order = np.argsort(-logits, axis=-1)
    confusion, histogram, top5 = np.zeros((7, 7)), np.zeros((3, 15)), 0
    for i in range(33):
        confusion[label[i], order[i, 0]] += 1
        top5 += label[i] in order[i, :5]
        confidence = np.exp(log_softmax(logits[i])).max()
        bin_ = int(np.ceil(confidence * 15)) - 1
        histogram[:, bin_] += confidence, order[i, 0] == label[i], 1
    close(metrics["accuracy"], (np.trace(confusion), 33))
    close(metrics["top5"], (top5, 33))
    close(metrics["confusion"], (confusion, 33))
    close(metrics["calibration"], (histogram, 33))


def test_calibration_has_a_bin_for_certainty():
    # The highest of the sigmoids are exactly 1, in the last bin, and 1/2, in (7/15, 8/15].
    metrics = eval_metrics(make_batch([[200, -9], [0, -9]], np.int32([0, 1])), 2, loss="sigmoid")
    sums = metrics["calibration"][0]
    assert np.nonzero(sums[2])[0].tolist() == [7, 14]
    close((sums[:, [7, 14]], 2), ([[0.5, 1], [0, 1], [1, 1]], 2))


def test_fewer_than_five_classes_are_all_in_the_top_five():
    metrics = eval_metrics(make_batch(LOGITS, LABEL), 4)
    close(metrics["top5"], (6, 6))


class WithAuxiliary(Echo):
    """Has two auxiliary classifiers in training, whose logits are multiples of the first's."""

    @nn.compact
    def __call__(self, image, train=False):
        logits = super().__call__(image)
        if train:
            for i in (1, 2):
                store(self, f"aux{i}_logits", (i + 1) * logits)
        return logits


def test_auxiliary_classifiers_add_their_weighted_losses():
    batch = make_batch([[1.0, 2, 0], [0, 0.5, 1]], [1, 0], mask=[1, 1])
    task = classification(WithAuxiliary(3), SGD, num_classes=3, aux_weight=0.3)
    state = task.init(KEY, batch)
    _, metrics = task.update(state, batch, KEY)
    logits = np.array([[1.0, 2, 0], [0, 0.5, 1]])
    losses = [-log_softmax(k * logits)[[0, 1], [1, 0]] for k in (1, 2, 3)]
    close(metrics["loss"], ((losses[0] + 0.3 * (losses[1] + losses[2])).sum(), 2))
    # Evaluation has none of it.
    close(task.evaluate(state, batch, KEY)["loss"], (losses[0].sum(), 2))
    alone = classification(Echo(3), SGD, num_classes=3, aux_weight=0.3)
    with pytest.raises(ConfigError, match="records no logits of an auxiliary classifier"):
        alone.update(alone.init(KEY, batch), batch, KEY)


def test_equal_logits_are_no_hit_for_every_class():
    metrics = eval_metrics(make_batch(np.zeros((20, 20)), np.arange(20, dtype=np.int32)), 20)
    close(metrics["accuracy"], (1, 20))
    close(metrics["top5"], (5, 20))


def test_no_confusion_matrix_for_very_many_classes():
    num_classes = module.MAX_CONFUSION_CLASSES + 1
    task = classification(Echo(num_classes), SGD, num_classes=num_classes)
    batch = make_batch(np.zeros((2, num_classes)), np.int32([0, 1]))
    state = jax.eval_shape(task.init, KEY, batch)
    assert "confusion" not in jax.eval_shape(task.evaluate, state, batch, KEY)


def test_multi_label_evaluation_by_hand():
    logits = [[2, -1, 3], [1, 1, 1], [-5, 4, -1], [-1, -1, -1]]
    label = np.float32([[1, 0, 1], [1, 0, 1], [0, 0, 0], [1, 1, 1]])
    metrics = eval_metrics(make_batch(logits, label, [1, 1, 1, 0]), 3, loss="sigmoid")
    assert set(metrics) == {"loss", "label_accuracy", "exact_match"}
    close(metrics["label_accuracy"], (1 + 2 / 3 + 2 / 3, 3))
    close(metrics["exact_match"], (1, 3))
    close(metrics["loss"], (bernoulli_terms(logits, label)[:3].sum(), 3))


@pytest.mark.parametrize("label", [-1, 4])
def test_a_label_outside_the_classes_is_seen(label):
    labels = LABEL.copy()
    labels[0] = label
    batch = make_batch(LOGITS, labels, MASK)
    assert np.isnan(eval_metrics(batch, 4)["loss"][0])
    state, metrics = train_metrics(batch, 4)
    assert metrics["nonfinite"][0][0] == 1
    np.testing.assert_array_equal(state.params["bias"], 0)
    # On padding it means nothing.
    masked = make_batch(LOGITS, labels, np.array([0, 1, 1, 1, 1, 1]))
    assert np.isfinite(eval_metrics(masked, 4)["loss"][0])


def test_labels_of_another_width_are_an_error():
    with pytest.raises(ValueError, match=r"\(6, 1\) for 4 classes"):
        eval_metrics(make_batch(LOGITS, np.ones((6, 1), np.float32)), 4)


def small_batch(size=8, shape=(4, 5, 2), num_classes=3):
    random = np.random.default_rng(2)
    return {
        "image": jnp.asarray(random.normal(size=(size, *shape)), jnp.float32),
        "label": jnp.asarray(random.integers(0, num_classes, size), jnp.int32),
        "index": jnp.arange(size, dtype=jnp.uint32),
        "mask": jnp.ones(size),
    }


def test_masked_examples_do_not_matter():
    task = classification(Small(3), SGD, num_classes=3)
    batch = small_batch()
    state = task.init(KEY, batch)
    padded = {k: jnp.concatenate([v, 7 * jnp.ones_like(v[:3])]) for k, v in batch.items()}
    padded["mask"] = jnp.concatenate([batch["mask"], jnp.zeros(3)])
    full, more = (jax.jit(task.evaluate)(state, b, KEY) for b in (batch, padded))
    assert set(full) == set(more)
    for name in full:
        close(more[name], full[name])


@pytest.mark.parametrize("augmentation", ["none", "mirror", "mirror_translate"])
def test_test_time_augmentation_averages_logits_over_views(augmentation):
    task = classification(Small(3), SGD, num_classes=3, test_time_augmentation=augmentation)
    batch = small_batch()
    state = task.init(KEY, batch)
    image = np.asarray(batch["image"])
    around = np.pad(image, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    views = [(1.0, image)]
    if augmentation == "mirror_translate":
        views = [(0.5, image), (0.25, around[:, 0:4, 0:5]), (0.25, around[:, 2:6, 2:7])]
    if augmentation != "none":
        views = [(w / 2, v) for w, x in views for v in (x, np.flip(x, axis=2))]
    variables = {"params": state.params, **state.variables}
    expected = sum(w * np.asarray(Small(3).apply(variables, v)) for w, v in views)
    logits = task.outputs["logits"](state, batch, KEY)
    np.testing.assert_allclose(logits, expected, atol=2e-6)
    probabilities = task.outputs["probabilities"](state, batch, KEY)
    np.testing.assert_allclose(probabilities, np.exp(log_softmax(expected)), atol=2e-6)
    correct = np.sum(expected.argmax(-1) == np.asarray(batch["label"]))
    close(task.evaluate(state, batch, KEY)["accuracy"], (correct, 8))


def test_outputs_are_the_records_of_the_model():
    task = classification(Small(3), SGD, num_classes=3)
    batch = small_batch()
    state = task.init(KEY, batch)
    recorded = task.outputs["intermediates"](state, batch, KEY)
    assert {k: v.shape for k, v in recorded.items()} == {"stage1": (8, 6), "features": (8, 6)}
    features = task.outputs["features"](state, batch, KEY)
    np.testing.assert_array_equal(features, recorded["features"])
    head = state.params["head"]
    logits = task.outputs["logits"](state, batch, KEY)
    np.testing.assert_allclose(features @ head["kernel"] + head["bias"], logits, atol=2e-6)


def test_a_model_without_features_is_an_error():
    task = classification(Echo(4), SGD, num_classes=4)
    batch = make_batch(LOGITS, LABEL)
    state = task.init(KEY, batch)
    with pytest.raises(ValueError, match="Echo records no 'features'"):
        task.outputs["features"](state, batch, KEY)


def test_sigmoid_probabilities_are_independent():
    task = classification(Echo(4), SGD, num_classes=4, loss="sigmoid")
    batch = make_batch(LOGITS, LABEL)
    probabilities = task.outputs["probabilities"](task.init(KEY, batch), batch, KEY)
    np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-LOGITS)), atol=1e-6)


def test_training_moves_batch_statistics_and_drops_units_by_key():
    task = classification(Small(3, dropout=0.5), SGD, num_classes=3)
    batch = small_batch()
    state = task.init(KEY, batch)
    update = jax.jit(task.update)
    one, two, again = (update(state, batch, jax.random.key(k))[0] for k in (1, 2, 1))
    hidden = Small(3).apply(
        {"params": state.params, **state.variables}, batch["image"], mutable=["intermediates"]
    )[1]["intermediates"]["stage1"]
    statistics = one.variables["batch_stats"]["norm"]
    np.testing.assert_allclose(statistics["mean"], 0.1 * hidden.mean(0), atol=1e-6)
    np.testing.assert_allclose(statistics["var"], 0.9 + 0.1 * hidden.var(0), atol=1e-6)
    head = [np.asarray(s.params["head"]["kernel"]) for s in (one, two, again)]
    np.testing.assert_array_equal(head[0], head[2])
    assert not np.array_equal(head[0], head[1])


def test_frozen_statistics_are_used_and_kept_and_nothing_is_dropped():
    task = classification(Small(3, dropout=0.5), SGD, num_classes=3, frozen_statistics=True)
    batch = small_batch()
    state = task.init(KEY, batch)
    moved, metrics = jax.jit(task.update)(state, batch, KEY)
    jax.tree.map(np.testing.assert_array_equal, moved.variables, state.variables)
    expected = task.evaluate(state, batch, KEY)["loss"]
    np.testing.assert_allclose(metrics["loss"], expected, 1e-6)
    assert not np.array_equal(moved.params["head"]["kernel"], state.params["head"]["kernel"])


def test_initial_values_follow_the_key():
    task = classification(Small(3), SGD, num_classes=3)
    batch = small_batch()
    one, two, again = (task.init(jax.random.key(k), batch) for k in (1, 2, 1))
    kernels = [np.asarray(s.params["head"]["kernel"]) for s in (one, two, again)]
    np.testing.assert_array_equal(kernels[0], kernels[2])
    assert not np.array_equal(kernels[0], kernels[1])
    assert int(one.step) == 0


def test_built_by_name_with_the_number_of_classes_of_the_data():
    spec = dict(name="classification", loss="sigmoid", class_weights=[1, 2, 3])
    injected = dict(model=Small(3), minimize=SGD, num_classes=3, num_examples=8)
    task = config.build(spec, "library.tasks", "task", **injected)
    batch = small_batch()
    state = jax.eval_shape(task.init, KEY, batch)
    assert jax.eval_shape(task.update, state, batch, KEY)[0] == state
    assert set(task.outputs) == {"logits", "probabilities", "features", "intermediates"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(num_classes=5), "Small has num_classes=3, but the task has num_classes=5"),
        (dict(class_weights=(1.0, 2.0)), "class_weights has 2 values for 3 classes"),
        (dict(class_weights=(1.0, -2.0, 1.0)), "none below 0"),
        (dict(class_weights=(0.0, 0.0, 0.0)), "not all 0"),
        (dict(label_smoothing=1.0), "label_smoothing=1.0: valid are 0 to below 1"),
        (dict(label_smoothing=-0.1), "label_smoothing=-0.1"),
        (dict(reduction="mean"), "reduction='mean' is read with loss='sigmoid' only"),
        (dict(frozen_statistics=True, aux_weight=0.3), "aux_weight=0.3: auxiliary classifiers"),
    ],
)
def test_requests_that_do_not_fit(arguments, message):
    with pytest.raises(ConfigError, match=message):
        classification(Small(3), SGD, **{"num_classes": 3, **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(loss="softmaxx"), "did you mean 'softmax'"),
        (dict(test_time_augmentation="mirrored"), "did you mean 'mirror'"),
        (dict(reduction="average"), r"valid: sum, mean"),
        (dict(label_smothing=0.1), "did you mean 'label_smoothing'"),
    ],
)
def test_misspelt_requests(arguments, message):
    spec = dict(name="classification", **arguments)
    with pytest.raises(ConfigError, match=message):
        config.build(spec, "library.tasks", "task", model=Small(3), minimize=SGD, num_classes=3)


class Penalized(nn.Module):
    num_classes: int

    @nn.compact
    def __call__(self, image, train=False):
        scale = self.param("scale", nn.initializers.ones, ())
        if train:
            store(self, "penalty", scale * jnp.arange(1.0, 1.0 + len(image)))
        return image[:, 0, 0]


def test_a_recorded_penalty_is_added_to_the_loss_of_its_example():
    batch = make_batch(np.zeros((3, 2)), np.int32([0, 1, 0]), [1, 1, 0])
    task = classification(Penalized(2), SGD, num_classes=2, penalty_weight=0.5)
    state = task.init(KEY, batch)
    moved, metrics = task.update(state, batch, KEY)
    np.testing.assert_allclose(metrics["loss"][0], 2 * np.log(2) + 0.5 * (1 + 2), rtol=1e-6)
    np.testing.assert_allclose(moved.params["scale"], 1 - 0.5 * (1 + 2) / 2, rtol=1e-6)
    other = classification(Echo(2), SGD, num_classes=2, penalty_weight=0.5)
    state = other.init(KEY, batch)
    with pytest.raises(ConfigError, match="penalty_weight: the model records no 'penalty'"):
        other.update(state, batch, KEY)
    for arguments in (dict(penalty_weight=-1.0), dict(penalty_weight=1.0, frozen_statistics=True)):
        with pytest.raises(ConfigError, match="penalty_weight="):
            classification(Echo(2), SGD, num_classes=2, **arguments)
