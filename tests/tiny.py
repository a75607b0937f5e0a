"""Tiny runs through the real pieces of the loop, shared by the tests of several folders."""

import functools
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from library.config import ConfigError
from library.data import sources
from library.run import loop, stepping
from library.run.clock import Clock
from library.run.feed import Feed
from library.run.plan import Plan
from library.run.recipe import make_plan
from library.summaries import summarize
from library.task import Task

CLASSES = ("a", "b", "c", "d")
CONV = dict(name="cnn.small", widths=(4,))
VIT = dict(name="vit", width=8, depth=1, num_heads=2, patch_size=4, hidden=8)
PERCEPTRON = dict(name="mlp.mlp", hidden=(5,))


def arrays(num: int, *, seed: int = 0, size: int = 8) -> dict[str, np.ndarray]:
    """Returns noise uint8 (num, size, size, 1) on four patterns: rows, columns, checks, none."""
    random = np.random.default_rng(seed)
    label = random.integers(0, len(CLASSES), num).astype(np.int32)
    row, column = np.indices((size, size)) % 2
    patterns = np.stack([row, column, row ^ column, np.zeros_like(row)])
    image = random.integers(0, 156, (num, size, size, 1)) + 100 * patterns[label][..., None]
    return {"image": image.astype(np.uint8), "label": label}


def compiled(task: Task) -> Task:
    """Returns a task whose functions are compiled, each once."""
    made = {name: jax.jit(output) for name, output in task.outputs.items()}
    functions = dict(init=task.init, update=task.update, evaluate=task.evaluate)
    return task._replace(outputs=made, **{name: jax.jit(f) for name, f in functions.items()})


def encoded(num: int, broken: Sequence[int] = ()) -> sources.Source:
    """Returns `arrays` as PNG files, those of the rows in `broken` cut short."""
    data = arrays(num)
    images = np.empty(num, object)
    for row in range(num):
        file = io.BytesIO()
        Image.fromarray(data["image"][row, ..., 0]).save(file, "PNG")
        images[row] = file.getvalue()[: 40 if row in broken else None]
    data["image"] = images
    return sources.from_arrays(data, label_names=CLASSES, name="tiny")


def turned_photograph(form: str = "PNG") -> bytes:
    """Returns an image file of 4x2 pixels that is to be shown as 2x4, by its EXIF orientation."""
    picture = Image.new("L", (4, 2))
    picture.putpixel((0, 0), 255)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it a quarter turn clockwise
    file = io.BytesIO()
    picture.save(file, form, exif=exif)
    return file.getvalue()


def serve(patch: pytest.MonkeyPatch, **splits: Any) -> None:
    """Makes "tiny" a data set of these splits, each arrays or a whole `Source`."""
    real = sources.open_source

    def open_source(name, split, **options):
        if name != "tiny":
            return real(name, split, **options)
        if split not in splits:
            raise ConfigError(f"'tiny' has no split {split!r}")
        found = splits[split]
        if isinstance(found, sources.Source):
            return found
        return sources.from_arrays(found, label_names=CLASSES, name=f"tiny {split}")

    patch.setattr(sources, "open_source", open_source)


def config(**changes: Any) -> dict[str, Any]:
    """Returns a config on "tiny"; `dataset` adds to its own, other sections replace theirs."""
    values = {
        "dataset": dict(name="tiny", batch_size=16),
        "preprocess": [],
        "normalize": dict(mean=[0.4], std=[0.25]),
        "model": PERCEPTRON,
        "task": dict(name="classification"),
        "optimizer": dict(name="sgd", learning_rate=0.1, momentum=0.9),
        "total": "12 steps",
        "log_every": "3 steps",
        "compile_cache": None,
    }
    dataset = values["dataset"] | changes.pop("dataset", {})
    return {**values, **changes, "dataset": dataset}


def plan_on(devices: int, **changes: Any) -> Plan:
    """Makes the plan of a config on the first so many devices."""
    return make_plan(config(**changes), devices=jax.devices()[:devices])


class Steps(NamedTuple):
    """What steps outside of the loop gave.

    Attributes:
      sums: each step's metrics, pairs (sum, count).
      carry: the last.
      update: the compiled step.
    """

    sums: list[dict[str, Any]]
    carry: stepping.Carry
    update: Any

    @property
    def losses(self) -> np.ndarray:
        return np.array([summarize(row)["loss"] for row in self.sums])


def take_steps(plan: Plan, count: int, omit: int | None = None) -> Steps:
    """Runs the loop's own step `count` times, reading the metrics after each.

    Args:
      plan: the run.
      count: steps to take.
      omit: a step, counted from 1, that is counted but not taken.
    """
    feed = Feed(plan)
    carry = stepping.initial_carry(plan, feed)
    zeros = jax.device_get(carry.totals)
    update = plan.strategy.update(functools.partial(stepping.step, plan), carry)
    batches, sums = feed.train(0), []
    for step in range(1, count + 1):
        batch = next(batches)
        if step == omit:
            carry = carry._replace(state=carry.state.replace(step=carry.state.step + 1))
            continue
        carry = carry._replace(totals=plan.strategy.replicate(zeros))
        carry, _ = update(carry, batch, feed.constants)
        sums.append(jax.device_get(carry.totals))
    return Steps(sums, carry, update)


def run(plan: Plan, workdir: Path) -> dict[str, Any]:
    """Runs the whole loop in a workdir; returns what it reports."""
    workdir.mkdir(parents=True, exist_ok=True)
    return loop.train(plan, workdir, Clock(), Console(quiet=True))
