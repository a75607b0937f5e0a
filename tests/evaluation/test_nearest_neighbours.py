"""The vote of the nearest by hand, and by scikit-learn where all weights are equal."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.neighbors import KNeighborsClassifier

from library import config
from library.config import ConfigError
from library.evaluation import nearest_neighbours as module
from library.evaluation.context import Context
from library.evaluation.frozen_features import labelled_features
from library.evaluation.nearest_neighbours import nearest_neighbours, votes
from library.task import minimize
from library.tasks.classification import classification

RANDOM = np.random.default_rng(0)
NUM_CLASSES = 6
CENTRES = RANDOM.normal(size=(NUM_CLASSES, 4)) * 2
KEY = jax.random.key(0)


def examples(num):
    label = RANDOM.integers(0, NUM_CLASSES, num).astype(np.int32)
    return (CENTRES[label] + RANDOM.normal(size=(num, 4))).astype(np.float32), label


SPLITS = {"train": examples(70), "test": examples(33), "empty": examples(0)}


class Echo(nn.Module):
    """Its features are the image's channels."""

    num_classes: int

    @nn.compact
    def __call__(self, image, train=False):
        x = image[:, 0, 0]
        self.sow("intermediates", "features", x, reduce_fn=lambda _, new: new)
        return nn.Dense(self.num_classes, name="head")(x)


def batches(split, batch_size, label=None):
    features, own = SPLITS[split]
    label, size, num = own if label is None else label, batch_size or 16, len(features)
    for start in range(0, num, size):
        rows = np.arange(start, start + size)
        real = rows < num
        # Padding would be everyone's nearest neighbour, were it not left out.
        rows = np.where(real, rows, 0)
        yield {
            "image": jnp.asarray(features[rows])[:, None, None],
            "label": jnp.asarray(label[rows]),
            "index": jnp.asarray(rows, jnp.uint32),
            "mask": jnp.asarray(real, jnp.float32),
        }


def make_context(**changes):
    learner = functools.partial(minimize, optimizer=optax.sgd(0.1))
    task = classification(Echo(NUM_CLASSES), learner, num_classes=NUM_CLASSES)

    def collect(function):
        compiled = jax.jit(function)
        return lambda state, batch: jax.device_get(compiled(state, batch, KEY))

    values = dict(
        task=task,
        batches=batches,
        measure=None,
        collect=collect,
        num_examples=lambda split: len(SPLITS[split][1]),
        label_names=tuple("abcdef"),
    )
    context = Context(**values | changes)
    return context, task.init(KEY, next(batches("train", None)))


def by_hand(features, label, queries, k, temperature):
    """The summed weights of each class, query by query."""
    unit = np.float64(features) / np.linalg.norm(features, axis=-1, keepdims=True)
    share = np.zeros((len(queries), NUM_CLASSES))
    for i, query in enumerate(np.float64(queries)):
        similarity = unit @ (query / np.linalg.norm(query))
        for near in np.argsort(-similarity)[:k]:
            share[i, label[near]] += np.exp(similarity[near] / temperature)
    return share


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.07), (7, 0.07), (7, 1.0), (70, 0.5)])
def test_accuracy_is_that_of_the_weighted_vote(k, temperature):
    context, state = make_context()
    got = nearest_neighbours(context, k=k, temperature=temperature)(state)
    share = by_hand(*SPLITS["train"], SPLITS["test"][0], k, temperature)
    rank = np.argsort(-share, axis=-1, kind="stable")
    hit = rank == SPLITS["test"][1][:, None]
    assert got == {"accuracy": hit[:, 0].mean(), "top5": hit[:, :5].any(-1).mean()}
    assert 0.3 < got["accuracy"] < 1


def test_votes_are_shares_whatever_the_chunk(monkeypatch):
    features, label = SPLITS["train"]
    queries = SPLITS["test"][0]
    expected = by_hand(features, label, queries, 9, 0.2)
    expected /= expected.sum(-1, keepdims=True)
    for chunk in (5, 512):
        monkeypatch.setattr(module, "_CHUNK", chunk)
        got = votes(features, label, queries, 9, 0.2, NUM_CLASSES)
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)
    # A low temperature would overflow without the softmax.
    assert np.isfinite(votes(features, label, queries, 9, 1e-3, NUM_CLASSES)).all()


def test_equal_weights_are_the_plain_vote():
    features, label = SPLITS["train"]
    queries = SPLITS["test"][0]
    plain = KNeighborsClassifier(11, metric="cosine").fit(features, label)
    got = votes(features, label, queries, 11, 1e6, NUM_CLASSES)
    np.testing.assert_allclose(got, plain.predict_proba(queries), atol=1e-5)


@pytest.mark.parametrize("batch_size", [None, 7, 100])
def test_limit_takes_the_first_examples(batch_size):
    context, state = make_context()
    evaluate = nearest_neighbours(context, k=5, num_train=20, batch_size=batch_size)
    features, label = SPLITS["train"]
    share = by_hand(features[:20], label[:20], SPLITS["test"][0], 5, 0.07)
    correct = share.argmax(-1) == SPLITS["test"][1]
    assert evaluate(state)["accuracy"] == correct.mean()


def test_features_are_read_as_far_as_the_limit_and_without_padding():
    seen = []

    def spied(split, size):
        for batch in batches(split, size):
            seen.append(split)
            yield batch

    context, state = make_context(batches=spied)
    read = labelled_features(context, batch_size=16)
    whole = read(state, "train", None)
    np.testing.assert_array_equal(whole.features, SPLITS["train"][0])
    np.testing.assert_array_equal(whole.label, SPLITS["train"][1])
    assert len(seen) == 5
    assert len(read(state, "train", 17).label) == 17
    assert len(seen) == 7


def test_few_classes_have_no_top5():
    label = SPLITS["train"][1] % 3
    context, state = make_context(
        batches=lambda split, size: batches(split, size, SPLITS[split][1] % 3), label_names=None
    )
    assert set(nearest_neighbours(context, k=3)(state)) == {"accuracy"}
    assert label.max() == 2


def test_nothing_to_evaluate_is_not_a_number():
    """The rehearsal before a run hands out batches without any example."""

    def nothing(function):
        return lambda state, batch: {
            "features": np.zeros((16, 4), np.float32),
            "label": np.zeros(16, np.int32),
            "mask": np.zeros(16, np.float32),
        }

    context, state = make_context(collect=nothing)
    got = nearest_neighbours(context, k=70)(state)
    assert set(got) == {"accuracy", "top5"}
    assert np.isnan(list(got.values())).all()


def test_built_by_name():
    context, state = make_context()
    spec = dict(name="nearest_neighbours", k=3, train="train", test="test")
    evaluate = config.build(spec, "library.evaluation", "evaluator", context=context)
    assert evaluate(state) == nearest_neighbours(context, k=3)(state)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(k=71), "k=71 neighbours: valid are 1 to 70"),
        (dict(k=21, num_train=20), "k=21 neighbours: valid are 1 to 20"),
        (dict(k=0), "k=0 neighbours"),
        (dict(k=3, num_train=0), "num_train=0: valid are 1 and more"),
        (dict(k=-1), "k=-1"),
        (dict(k=1, temperature=0.0), "temperature=0.0"),
        (dict(k=1, temperature=float("nan")), "temperature=nan"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        nearest_neighbours(make_context()[0], **arguments)


def test_a_task_without_features_is_refused():
    context, _ = make_context()
    bare = context._replace(task=context.task._replace(outputs={"logits": None}))
    with pytest.raises(ConfigError, match=r"'features'.*logits"):
        nearest_neighbours(bare, k=1)


def test_several_labels_an_example_are_refused():
    soft = {split: np.eye(NUM_CLASSES, dtype=np.float32)[y] for split, (_, y) in SPLITS.items()}
    context, state = make_context(batches=lambda split, size: batches(split, size, soft[split]))
    with pytest.raises(ConfigError, match="one class each"):
        nearest_neighbours(context, k=1)(state)
