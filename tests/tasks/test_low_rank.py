"""A run that goes on from another's, factored."""

import json
from types import SimpleNamespace

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library import config
from library.apps import classifier
from library.compression import kernels, low_rank
from library.config import ConfigError
from library.data import sources
from library.run import checkpoints, restoring, session
from library.run.recipe import make_plan
from tests import tiny

TASK = dict(name="low_rank", rank=2, kept=("head",))


@pytest.fixture(autouse=True)
def data(monkeypatch):
    tiny.serve(monkeypatch, train=tiny.arrays(50), test=tiny.arrays(21, seed=1))


@pytest.fixture
def source(tmp_path):
    """Trains the network that is to be factored."""
    values = tiny.config(model=tiny.CONV, total="2 steps")
    tiny.run(make_plan(values), tmp_path / "source")
    (tmp_path / "source" / "config.json").write_text(json.dumps(values))
    return tmp_path / "source"


def test_it_starts_as_the_source_factored_and_trains_the_factors(source, tmp_path):
    values = tiny.config(
        model=tiny.CONV,
        total="3 steps",
        task=dict(TASK, source=str(source)),
        evaluate=dict(test=dict(kind="metrics")),
    )
    plan = make_plan(values)
    _, leaves = checkpoints.load(source)
    params = {
        name: {"kernel": np.asarray(leaves[f"state/params/{name}/kernel"])}
        for name in ("stage1_conv1", "stage1_conv2")
    }
    steps = tiny.take_steps(plan, 0)
    start = jax.device_get(steps.carry.state)
    for name, tree in params.items():
        own, shape = start.params[name], tree["kernel"].shape
        matrix = np.float64(tree["kernel"]).reshape(-1, shape[-1])
        if 2 * sum(matrix.shape) >= matrix.size:
            np.testing.assert_array_equal(own["kernel"], tree["kernel"])
            continue
        left, values_, right = np.linalg.svd(matrix, full_matrices=False)
        product = own["kernel_first"].reshape(-1, 2) @ own["kernel_second"].reshape(2, -1)
        np.testing.assert_allclose(product, left[:, :2] * values_[:2] @ right[:2], atol=1e-5)
    assert sorted(start.params["stage1_conv2"]) == ["kernel_first", "kernel_second"]
    assert sorted(start.params["head"]) == ["bias", "kernel"]
    np.testing.assert_array_equal(
        start.variables["batch_stats"]["stage1_norm1"]["mean"],
        leaves["state/variables/batch_stats/stage1_norm1/mean"],
    )
    summary = tiny.run(plan, tmp_path / "run")
    assert 0 <= summary["metrics"]["test/accuracy"] <= 1
    _, moved = checkpoints.load(tmp_path / "run")
    for factor in ("kernel_first", "kernel_second"):
        before = start.params["stage1_conv2"][factor]
        assert not np.array_equal(moved[f"state/params/stage1_conv2/{factor}"], before)
    # What reads a run's classifier finds one that computes by the factors.
    trained = session.restore(values, tmp_path / "run")
    network = classifier.network(trained)
    image = jnp.ones((2, 8, 8, 1))
    with nn.intercept_methods(low_rank.two_steps):
        plain = network.model.network.apply(network.variables, image)
    np.testing.assert_allclose(network.model.apply(network.variables, image), plain, rtol=1e-5)
    assert isinstance(network.model, kernels.Intercepted)


def photographs(num, seed):
    found = tiny.arrays(num, seed=seed)
    found["photo"] = found.pop("image")
    kinds = {"photo": "image"}
    return sources.from_arrays(found, label_names=tiny.CLASSES, name="tiny", kinds=kinds)


@pytest.mark.full
def test_a_run_of_another_feature_is_factored_and_teaches_by_images(monkeypatch, tmp_path):
    tiny.serve(monkeypatch, train=photographs(50, 0), test=photographs(21, 1))
    inputs, folder = ["photo"], tmp_path / "source"
    usual = dict(task=dict(name="classification", inputs=inputs))
    tiny.run(tiny.plan_on(1, total="1 step", **usual), folder)
    (folder / "config.json").write_text(json.dumps(tiny.config(**usual)))
    task = dict(TASK, source=str(folder), inputs=inputs)
    factored = tiny.plan_on(1, task=task).state.params["hidden1"]
    assert sorted(factored) == ["bias", "kernel_first", "kernel_second"]
    learnt, apply = restoring.teacher(make_plan, str(folder), "logits")
    image = jax.random.uniform(jax.random.key(0), (2, 8, 8, 1))
    model = config.build(tiny.PERCEPTRON, "library.models", "model", num_classes=4)
    variables = {"params": learnt["params"], **learnt["variables"]}
    expected = model.apply(variables, (image - 0.4) / 0.25)
    np.testing.assert_allclose(apply(learnt, image), expected, rtol=1e-4, atol=1e-5)
    # The kinds of the data tell the student that its feature is an image.
    tiny.plan_on(1, task=dict(name="distillation", teacher=str(folder), inputs=inputs))


def test_a_run_of_several_features_does_not_teach_by_images(monkeypatch):
    recipe = SimpleNamespace(task={"inputs": ["left", "right"]})
    plan = SimpleNamespace(recipe=recipe, task=SimpleNamespace(outputs={"logits": None}))
    monkeypatch.setattr(restoring, "_learnt", lambda make_plan, folder: (plan, None))
    with pytest.raises(ConfigError, match="run in both takes 2 inputs, left, right"):
        restoring.teacher(make_plan, "both", "logits")


def test_a_source_of_another_model_is_refused(source):
    task = dict(TASK, source=str(source))
    other = dict(tiny.CONV, widths=(6,))
    message = r"is of another model: batch_stats/stage1_norm1/mean has shape \(4,\) there"
    with pytest.raises(ConfigError, match=message):
        tiny.plan_on(1, model=other, task=task)
    with pytest.raises(ConfigError, match="is of another model: params/head/kernel has shape"):
        tiny.plan_on(1, task=task)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(rank=0), "rank=0: valid are whole numbers from 1"),
        (dict(energy=0.9), "rank=2, energy=0.9: one of them"),
        (dict(kept=("tail",)), "'tail' matches no kernel"),
        (dict(source="nowhere"), "no run in 'nowhere'"),
    ],
)
def test_refused(source, options, message):
    task = dict(TASK, source=str(source)) | options
    with pytest.raises(ConfigError, match=message):
        tiny.plan_on(1, model=tiny.CONV, task=task)
