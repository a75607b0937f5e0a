"""The probe against scikit-learn's logistic regression."""

import numpy as np
import pytest
from scipy import special
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from library import config
from library.config import ConfigError
from library.evaluation.linear_probe import fit, linear_probe
from tests.evaluation import test_nearest_neighbours as shared


def standardized():
    scaler = StandardScaler().fit(np.float64(shared.SPLITS["train"][0]))
    return {split: scaler.transform(shared.SPLITS[split][0]) for split in ("train", "test")}


def reference(l2, num):
    # The sum of the losses, times C, + |W|^2 / 2.
    return LogisticRegression(C=1 / (l2 * num), tol=1e-8, max_iter=10_000)


@pytest.mark.parametrize("l2", [1e-3, 1e-1])
def test_weights_are_those_of_scikit_learn(l2):
    x, label = np.float32(standardized()["train"]), shared.SPLITS["train"][1]
    kernel, bias = fit(x, label, shared.NUM_CLASSES, l2, 500)
    expected = reference(l2, len(x)).fit(x, label)
    np.testing.assert_allclose(kernel, expected.coef_.T, atol=2e-2 * np.abs(expected.coef_).max())
    # A constant added to all biases changes nothing.
    centred = [b - b.mean() for b in (bias, expected.intercept_)]
    np.testing.assert_allclose(*centred, atol=2e-2 * np.abs(centred[1]).max())


@pytest.mark.parametrize("l2", [1e-3, 1e-1])
def test_accuracies_are_those_of_scikit_learn(l2):
    context, state = shared.make_context()
    got = linear_probe(context, l2=l2)(state)
    x = standardized()
    expected = reference(l2, len(x["train"])).fit(x["train"], shared.SPLITS["train"][1])
    assert got == {
        "accuracy": expected.score(x["test"], shared.SPLITS["test"][1]),
        "train_accuracy": expected.score(x["train"], shared.SPLITS["train"][1]),
    }
    assert 0.3 < got["accuracy"] < got["train_accuracy"] < 1


def test_units_and_shifts_of_features_do_not_matter(monkeypatch):
    context, state = shared.make_context()
    before = linear_probe(context, l2=1e-2)(state)
    for split in ("train", "test"):
        features, label = shared.SPLITS[split]
        moved = np.float32(features * [1, 100, 0.01, 1] + [0, 50, 0, -3])
        monkeypatch.setitem(shared.SPLITS, split, (moved, label))
    assert linear_probe(context, l2=1e-2)(state) == before


def test_a_feature_that_is_constant_in_training_says_nothing(monkeypatch):
    context, state = shared.make_context()
    found = []
    for constants in ((0.0, 0.0), (3.1, 900.0)):
        for split, constant in zip(("train", "test"), constants):
            features, label = shared.SPLITS[split]
            features = features.copy()
            features[:, 2] = constant
            monkeypatch.setitem(shared.SPLITS, split, (features, label))
        found.append(linear_probe(context, l2=1e-2)(state))
    assert found[0] == found[1]
    assert found[0]["accuracy"] > 0.3


def test_more_iterations_fit_better():
    x, label = np.float32(standardized()["train"]), shared.SPLITS["train"][1]

    def loss(iterations):
        kernel, bias = fit(x, label, shared.NUM_CLASSES, 1e-3, iterations)
        logits = x @ kernel + bias
        losses = special.logsumexp(logits, axis=-1) - logits[np.arange(len(x)), label]
        return losses.mean() + 5e-4 * (kernel**2).sum()

    assert loss(1) > loss(5) > loss(50)


def test_features_of_zero_and_splits_of_nothing():
    x, label = np.zeros((8, 4), np.float32), np.zeros(8, np.int32)
    kernel, bias = fit(x, label, 3, 1e-4, 20)
    assert np.isfinite(kernel).all()
    assert bias.argmax() == 0

    def nothing(function):
        return lambda state, batch: {"features": x, "label": label, "mask": np.zeros(8, np.float32)}

    context, state = shared.make_context(collect=nothing)
    got = linear_probe(context)(state)
    assert set(got) == {"accuracy", "train_accuracy"}
    assert np.isnan(list(got.values())).all()


def test_built_by_name():
    context, state = shared.make_context()
    spec = dict(name="linear_probe", l2=1e-2, max_iterations=50)
    evaluate = config.build(spec, "library.evaluation", "evaluator", context=context)
    assert evaluate(state) == linear_probe(context, l2=1e-2, max_iterations=50)(state)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(l2=-1.0), "l2=-1.0"),
        (dict(l2=float("inf")), "l2=inf"),
        (dict(max_iterations=0), "max_iterations=0"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        linear_probe(shared.make_context()[0], **arguments)


def test_a_task_without_features_is_refused():
    context, _ = shared.make_context()
    bare = context._replace(task=context.task._replace(outputs={}))
    with pytest.raises(ConfigError, match="unknown output of the task 'features'"):
        linear_probe(bare)
