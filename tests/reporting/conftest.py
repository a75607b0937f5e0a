"""Workdirs as runs leave them, in miniature."""

import json

import numpy as np
import pytest

CONFIG = {
    "seed": 0,
    "dataset": {
        "name": "cifar10",
        "train": "train",
        "test": "test",
        "batch_size": 100,
        "workers": 4,
    },
    "augment": [{"name": "random_crop", "padding": 4}, {"name": "flip_lr"}],
    "model": {"name": "resnet.resnet18", "stem": "cifar"},
    "task": {"name": "classification"},
    "optimizer": {"name": "sgd", "learning_rate": 0.2, "nesterov": True},
    "total": "2 epochs",
    "log_every": "10 steps",
    "reported": {"metric": "test/accuracy", "value": 0.9302, "source": "Someone, README"},
    "_config": {
        "path": "configs/cifar/resnet.py",
        "variant": "resnet18",
        "overrides": {"dataset.workers": 4, "log_every": "10 steps"},
    },
}
SUMMARY = {
    "status": "finished",
    "steps": 40,
    "metrics": {"test/accuracy": 0.9267, "test/loss": 0.25, "train/loss": 0.1},
    "best": {"test/accuracy": 0.9281},
    "seed": 0,
    "commit": "0123456789abcdef",
    "dirty": False,
    "versions": {"python": "3.11.2", "jax": "0.10.2"},
    "device": {"platform": "cpu", "kind": "AMD EPYC", "count": 1, "cores": 2},
    "wall_time": 754.2,
    "examples_per_second": 812.4,
    "phases": {"compile": 12.5, "train": 700.0, "checkpoint": 0.25},
    "state_sha256": "f00d" * 16,
    "parameters": 11173962,
    "warnings": [{"step": 1020, "text": "accuracy < 95%: try longer"}],
    "command": "python -m experiments.train --config=configs/cifar/resnet.py:resnet18",
    "result": {
        "metric": "test/accuracy",
        "value": 0.9267,
        "reported": 0.9302,
        "source": "Someone, README",
        "gap": -0.0035,
    },
}


def rows(steps=40, best=0.92):
    """Returns a log of `steps` steps, a row every 10 and an evaluation every 20."""
    made = []
    for step in range(10, steps + 1, 10):
        row = {"step": step, "wall_time": 2.0 * step, "train/loss": 2.0 / step}
        row |= {"train/epoch": step / 20, "train/examples_per_second": 800.0 + step}
        if step % 20 == 0:
            accuracy = best * step / steps
            row |= {"test/accuracy": accuracy, "test_ema/accuracy": round(accuracy + 0.01, 4)}
        made.append(row)
    return made


def write_run(path, *, config=CONFIG, summary=SUMMARY, log=None):
    """Writes config.json, metrics.jsonl and, unless it is None, summary.json."""
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps(config))
    lines = [json.dumps(row) + "\n" for row in (rows() if log is None else log)]
    (path / "metrics.jsonl").write_text("".join(lines))
    if summary is not None:
        (path / "summary.json").write_text(json.dumps(summary))
    return path


def write_arrays(path, names=("cat", "dog", "frog")):
    """Adds the arrays of a classification run: 6 predictions, 4 of them right."""
    images = np.arange(6 * 8 * 8 * 3, dtype=np.uint8).reshape(6, 8, 8, 3)
    label = np.array([0, 1, 2, 0, 1, 2])
    guess = np.array([0, 1, 2, 0, 2, 0])
    probabilities = np.full((6, 3), 0.1, np.float32)
    probabilities[np.arange(6), guess] = 0.8
    np.savez(
        path / "evaluation.npz",
        **{
            "test/confusion": np.array([[8, 1, 1], [0, 10, 0], [2, 0, 6]]),
            "test/calibration": np.array([[0.0, 2.5, 18.0], [0.0, 4.0, 20.0], [0.0, 8.0, 20.0]]),
            "test/per_class_accuracy": np.array([0.8, 1.0, 0.75]),
            "test/spectrum": np.linspace(3.0, 1.0, 5),
            "test/samples": images,
            "test/entropy": np.float32(1.25),
        },
    )
    np.savez(
        path / "predictions.npz",
        image=images,
        label=label,
        probabilities=probabilities,
        row=np.arange(6),
        label_names=np.array(names),
    )
    np.savez(path / "augmented.npz", image=np.stack([images[:2]] * 3, axis=1))
    return path


@pytest.fixture
def run(tmp_path):
    """A finished run with every file."""
    return write_arrays(write_run(tmp_path / "run"))


@pytest.fixture
def make_run():
    """`write_run`, for runs of another kind."""
    return write_run


@pytest.fixture
def make_arrays():
    """`write_arrays`, for runs of another kind."""
    return write_arrays


@pytest.fixture
def values():
    """The config and the summary of `run`, deep copies to be changed."""
    return json.loads(json.dumps(CONFIG)), json.loads(json.dumps(SUMMARY))
