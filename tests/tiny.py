"""Tiny runs through the real pieces of the loop, shared by the tests of several folders."""

import functools
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
from rich.console import Console

from library.data import sources
from library.evaluation.derived import summarize
from library.training import loop
from library.training.clock import Clock
from library.training.feed import Feed
from library.training.recipe import Plan, make_plan

CLASSES = ("a", "b", "c", "d")
CONV = dict(name="cnn.small", widths=(4, 8))
VIT = dict(name="vit", width=8, depth=2, num_heads=2, patch_size=4, hidden=16)
LINEAR = dict(name="mlp.mlp", hidden=(5,))


def arrays(num: int, *, seed: int = 0, size: int = 8) -> dict[str, np.ndarray]:
    """Returns images uint8 (num, size, size, 1) of four classes that differ in one quadrant."""
    random = np.random.default_rng(seed)
    label = random.integers(0, len(CLASSES), num).astype(np.int32)
    image = random.integers(0, 200, (num, size, size, 1)).astype(np.uint8)
    half = size // 2
    for i, k in enumerate(label):
        top, left = divmod(int(k), 2)
        image[i, top * half : (top + 1) * half, left * half : (left + 1) * half] += 55
    return {"image": image, "label": label}


def serve(patch: pytest.MonkeyPatch, **splits: Any) -> None:
    """Makes "tiny" a data set of these splits, each arrays or a whole `Source`."""
    real = sources.open_source

    def open_source(name, split, **options):
        if name != "tiny":
            return real(name, split, **options)
        found = splits[split]
        if isinstance(found, sources.Source):
            return found
        return sources.from_arrays(found, label_names=CLASSES, name=f"tiny {split}")

    patch.setattr(sources, "open_source", open_source)


def config(**changes: Any) -> dict[str, Any]:
    """Returns a config on "tiny"; a dict given for dataset, checkpoint or ... adds to its own."""
    values = {
        "dataset": dict(name="tiny", batch_size=16),
        "preprocess": [],
        "normalize": dict(mean=[0.4], std=[0.25]),
        "model": CONV,
        "task": dict(name="classification"),
        "optimizer": dict(name="sgd", learning_rate=0.1, momentum=0.9),
        "total": "20 steps",
        "log_every": "5 steps",
        "compile_cache": None,
    }
    for key, change in changes.items():
        merges = key in ("dataset", "optimizer") and "name" not in change
        values[key] = {**values[key], **change} if merges else change
    return values


class Steps(NamedTuple):
    """What steps outside the loop gave: each step's metrics, the last carry, the compiled step."""

    metrics: list[dict[str, float]]
    carry: loop.Carry
    update: Any

    @property
    def losses(self) -> np.ndarray:
        return np.array([row["loss"] for row in self.metrics])


def take_steps(plan: Plan, count: int) -> Steps:
    """Runs the loop's own step `count` times, reading the metrics after each."""
    feed = Feed(plan)
    initial = functools.partial(loop.initial_carry, plan)
    carry = plan.strategy.init(initial, feed.first, feed.constants)
    zeros = plan.strategy.replicate(
        jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), carry.totals)
    )
    update = plan.strategy.update(functools.partial(loop.step, plan), carry)
    batches, rows = feed.train(0), []
    for _ in range(count):
        carry = carry._replace(totals=jax.tree.map(lambda x: x + 0, zeros))
        carry, _ = update(carry, next(batches), feed.constants)
        rows.append(summarize(jax.device_get(carry.totals)))
    return Steps(rows, carry, update)


def run(plan: Plan, workdir: Any) -> dict[str, Any]:
    """Runs the whole loop in a workdir; returns what it reports."""
    workdir.mkdir(parents=True, exist_ok=True)
    return loop.train(plan, workdir, Clock(), Console(quiet=True))


def plan_on(devices: int, **changes: Any) -> Plan:
    """Makes the plan of a config on the first so many devices."""
    return make_plan(config(**changes), devices=jax.devices()[:devices])
