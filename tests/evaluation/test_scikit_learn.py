"""Methods of scikit-learn beside a network: the same numbers as by hand, fitted once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

from library.config import ConfigError
from library.evaluation.context import Context
from library.evaluation.scikit_learn import scikit_learn
from library.task import Task, TrainState

STATE = TrainState(jnp.int32(0), {}, {}, (), None)
RANDOM = np.random.default_rng(0)
X, Y = {}, {}
for split, n in (("train", 40), ("test", 15)):
    X[split] = RANDOM.normal(3, [1, 5, 0.1], (n, 3)).astype(np.float32).astype(np.float64)
    noise = RANDOM.normal(0, 0.2, (n, 1))
    Y[split] = (X[split] @ [[1.0], [0.3], [-4.0]] + noise).astype(np.float32).astype(np.float64)

LIMIT = np.median(Y["train"])


def make_context(wanted="target"):
    opened = []

    def batches(split, batch_size):
        opened.append(split)
        y = Y[split] if wanted == "target" else (Y[split][:, 0] > LIMIT).astype(np.int32)
        # The last example is padding.
        padded = np.concatenate([X[split], np.full((1, 3), np.nan)])
        mask = np.arange(len(padded)) < len(X[split])
        found = {"features": padded, wanted: np.concatenate([y, y[:1]]), "mask": mask.astype(float)}
        yield jax.tree.map(jnp.asarray, found)

    def collect(function):
        return lambda state, batch: jax.device_get(function(state, batch, jax.random.key(0)))

    task = Task(None, None, None, {})
    names = ("features", wanted)
    return Context(task, batches, collect, collect, features=names), opened


def test_ridge_is_the_closed_form_and_is_fitted_once():
    context, opened = make_context()
    evaluate = scikit_learn(context, method="ridge")
    found = evaluate(STATE)
    mean, std = X["train"].mean(0), X["train"].std(0)
    z, t = (X["train"] - mean) / std, Y["train"]
    weights = np.linalg.solve(z.T @ z + np.eye(3), z.T @ (t - t.mean()))
    predicted = (X["test"] - mean) / std @ weights + t.mean()
    assert found["mse"] == pytest.approx(mean_squared_error(Y["test"], predicted), rel=1e-9)
    assert found["rmse"] == pytest.approx(found["mse"] ** 0.5, rel=1e-12)
    assert found["mae"] == pytest.approx(mean_absolute_error(Y["test"], predicted), rel=1e-9)
    assert found["r2"] == pytest.approx(r2_score(Y["test"], predicted), rel=1e-9)
    assert evaluate(STATE) == found
    assert opened == ["train", "test"]


def test_boosting_is_that_of_scikit_learn():
    found = scikit_learn(make_context()[0], method="gradient_boosting")(STATE)
    made = GradientBoostingRegressor(random_state=0).fit(X["train"], Y["train"][:, 0])
    expected = mean_squared_error(Y["test"], made.predict(X["test"]))
    assert found["mse"] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("method", ["ridge", "gradient_boosting"])
def test_classes_have_an_accuracy(method):
    found = scikit_learn(make_context("label")[0], method=method)(STATE)
    label = {split: (y[:, 0] > LIMIT).astype(int) for split, y in Y.items()}
    if method == "ridge":
        mean, std = X["train"].mean(0), X["train"].std(0)
        z, t = (X["train"] - mean) / std, 2.0 * label["train"] - 1
        weights = np.linalg.solve(z.T @ z + np.eye(3), z.T @ (t - t.mean()))
        predicted = (X["test"] - mean) / std @ weights + t.mean() > 0
    else:
        made = GradientBoostingClassifier(random_state=0).fit(X["train"], label["train"])
        predicted = made.predict(X["test"])
    assert found == {"accuracy": pytest.approx(np.mean(predicted == label["test"]))}


def test_requests_that_do_not_fit():
    with pytest.raises(ConfigError, match="did you mean 'features'"):
        scikit_learn(make_context()[0], method="ridge", inputs="feature")
    with pytest.raises(ConfigError, match="needs 'target' or 'label'"):
        scikit_learn(make_context("id")[0], method="ridge")
