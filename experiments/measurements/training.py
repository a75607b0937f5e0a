"""The costs of the loop, its input, its start and its step, for any recipe."""

import functools
import io
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
from rich.console import Console

from experiments.measurements.timing import Budget, Step, pairs, seconds_each
from library import files
from library import finite as finite_updates
from library import task as task_module
from library.reporting import runs
from library.run import loop as training_loop
from library.run import stepping
from library.run.clock import Clock
from library.run.feed import Feed
from library.run.plan import Plan
from library.run.recipe import make_plan

# Steps per call, as many as an epoch of the smallest datasets.
_MANY = 50
# Widths of networks for the check of finite values, with a state of some 200 MB.
WIDE = (1024,) * 17
_PLAIN_SGD = dict(name="sgd", learning_rate=0.01)
# ResNet-20 on images of CIFAR's size, in batches so small that the overhead of a loop would show.
RESNET20: dict[str, Any] = {
    "dataset": dict(
        name="synthetic/32x10",
        train="train[:256]",
        test="test[:16]",
        batch_size=4,
        eval_batch_size=4,
    ),
    "model": dict(name="resnet.resnet20", num_classes=10),
    "task": dict(name="classification"),
    "optimizer": _PLAIN_SGD,
}
# Parts of an accumulated batch.
_PARTS = 4


def loop(budget: Budget, values: dict[str, Any]) -> dict[str, float]:
    """Times a step of the whole loop, with logging every 50 steps, and of its compiled step."""
    plan = make_plan(_quiet(values, budget.steps))
    bare = bare_step(plan)
    return pairs(budget, lambda: _loop_seconds(plan), lambda: seconds_each(bare, budget))


def _quiet(values: dict[str, Any], steps: int) -> dict[str, Any]:
    """Returns a recipe of about `steps` steps that logs every 50 steps and does nothing else."""
    around = {"evaluate": {}, "reported": None, "checkpoint": {"every": "100%"}}
    total = f"{50 * max(3, steps // 50)} steps"
    return {**values, **around, "log_every": "50 steps", "total": total}


def calls(budget: Budget, values: dict[str, Any]) -> dict[str, float]:
    """Times loops on the device: many steps per call, and the parts of an accumulated batch.

    A step with many per call is compared with one alone, for a tiny network, of whose time calls
    take most, for a recipe, and for ResNet-20. A step of ResNet-20 in parts is compared with as
    many steps of such a part.
    """
    tiny = {
        **values,
        "model": dict(name="mlp", hidden=[32]),
        "optimizer": _PLAIN_SGD,
        "augment": [],
    }
    tiny["dataset"] = {**values["dataset"], "batch_size": 32}
    asked = {"tiny": (tiny, 10 * budget.steps), "recipe": (values, budget.steps)}
    figures = {}
    for name, (chosen, steps) in {**asked, "resnet20": (RESNET20, budget.steps)}.items():
        most, alone = (_called(chosen, steps, steps_per_call=k) for k in (_MANY, 1))
        figures |= {f"{name}: {k}": v for k, v in pairs(budget, most, alone).items()}
    part = RESNET20["dataset"]["batch_size"]
    whole = {**RESNET20, "dataset": {**RESNET20["dataset"], "batch_size": _PARTS * part}}
    accumulated = _called(whole, budget.steps, accumulate=_PARTS)
    found = pairs(budget, accumulated, lambda: _PARTS * alone())
    return figures | {f"resnet20 in {_PARTS} parts: {k}": v for k, v in found.items()}


def _called(values: dict[str, Any], steps: int, **changes: Any) -> Callable[[], float]:
    """Returns what times a step of the loop of a recipe whose examples are on the device."""
    quiet = _quiet(values, steps)
    dataset = {**quiet["dataset"], "cache": "device"}
    return functools.partial(_loop_seconds, make_plan({**quiet, "dataset": dataset, **changes}))


def pipeline(budget: Budget, values: dict[str, Any]) -> dict[str, float]:
    """Times steps that load each batch and put it on the device, and steps that repeat a batch."""
    streamed = {**values, "dataset": {**values["dataset"], "cache": "none"}}
    figures = {}
    for name, chosen in {"streamed": streamed, "as configured": values}.items():
        plan = make_plan(chosen)
        measures = [
            functools.partial(seconds_each, step, budget)
            for step in (_fed_step(plan), bare_step(plan))
        ]
        figures |= {f"{name}: {k}": v for k, v in pairs(budget, *measures).items()}
    return figures


def start(budget: Budget, config: str) -> dict[str, float]:
    """Times the first step of new processes, with an empty and with a filled compile cache."""
    cold, warm = [], []
    for _ in range(max(1, budget.rounds // 2)):
        with tempfile.TemporaryDirectory() as cache:
            cold.append(_first_step(config, cache))
            warm.append(_first_step(config, cache))
    ratios = {
        name: statistics.median(w[name] / c[name] for w, c in zip(warm, cold, strict=True))
        for name in ("first step", "compile")
    }
    return {
        "cold s": statistics.median(c["first step"] for c in cold),
        "warm s": statistics.median(w["first step"] for w in warm),
        "warm/cold": ratios["first step"],
        "compile warm/cold": ratios["compile"],
    }


def step(budget: Budget, values: dict[str, Any]) -> dict[str, float]:
    """Times a training step; the compiler counts its FLOPs, the peak is measured."""
    plan = make_plan(values)
    bare = bare_step(plan)
    seconds = statistics.median(seconds_each(bare, budget) for _ in range(budget.rounds))
    flops = _flops(plan)
    dtype = values["model"].get("dtype", "float32")
    peak = matmul_peak(dtype) * jax.device_count()
    return {
        "images/s": plan.dataset.batch_size / seconds,
        "ms": 1e3 * seconds,
        "GFLOP": flops / 1e9,
        f"share of {dtype} matmul peak": flops / seconds / peak,
        "peak TFLOP/s": peak / 1e12,
    }


def finite() -> dict[str, float]:
    """Compares the temporary memory of a step with and without the check for finite values.

    The optimizer is AdamW, with clipping by the norm as for most large networks, and without.
    Without clipping a plain step can update each param as soon as its gradient exists; a checked
    step cannot. With two players, a checked step keeps the first player's state twice until the
    check is done.
    """
    figures = {}
    for name, clip in (("clipped", dict(global_norm=1.0)), ("not clipped", None)):
        for kind in ("minimize", "alternate"):
            for strategy in ("jit", "pmap") if clip else ("jit",):
                where = f"{name}, {kind}, {strategy}"
                values = _wide(kind, strategy, WIDE, clip)
                with (
                    mock.patch.object(finite_updates, "update_if_finite", _unchecked),
                    mock.patch.object(task_module, "select", lambda failed, old, new: new),
                ):
                    plain, held = _memory({**values, "on_nonfinite": "skip"})
                figures |= {f"{where}: state MB": held, f"{where}: plain MB": plain}
                for ending in ("stop", "skip"):
                    between, _ = _memory({**values, "on_nonfinite": ending})
                    figures[f"{where}: {ending} MB"] = between
                    figures[f"{where}: {ending}/plain"] = between / plain
    return figures


def _unchecked(change: Callable, before: Any, flags: Any, held: Any = False) -> tuple[Any, Any]:
    return change(before), flags


def _wide(kind: str, strategy: str, hidden: tuple[int, ...], clip: Any) -> dict[str, Any]:
    optimizer = dict(name="adamw", learning_rate=1e-3, weight_decay=0.1, clip=clip)
    half = hidden[: 1 + len(hidden) // 2]
    players = dict(
        generator=dict(name="gan.generator", hidden=half),
        discriminator=dict(name="gan.discriminator", hidden=half, pieces=1),
    )
    systems = {
        "minimize": (dict(name="mlp", hidden=hidden), "classification", optimizer),
        "alternate": (players, "gan", dict.fromkeys(players, optimizer)),
    }
    model, task, optimizer = systems[kind]
    return dict(
        dataset=dict(name="synthetic/8x10x1", train="train[:64]", batch_size=8),
        model=model,
        task=dict(name=task),
        optimizer=optimizer,
        parallel=dict(strategy=strategy),
        total="8 steps",
    )


def _memory(values: dict[str, Any]) -> tuple[float, float]:
    """Returns the MB of a step's temporary memory, and those of its state."""
    plan = make_plan(values)
    feed, update, carry = _compiled(plan)
    compiled = update.lower(carry, next(feed.train(0)), feed.constants).compile()
    held = sum(x.nbytes for x in jax.tree.leaves(carry.state))
    return compiled.memory_analysis().temp_size_in_bytes / 1e6, held / 1e6


def bare_step(plan: Plan) -> Step:
    """Compiles a plan's training step; each call is one step on the same batch."""
    feed, update, carry = _compiled(plan)
    batch = next(feed.train(0))
    return _held(update, carry, lambda: batch, feed)


def _fed_step(plan: Plan) -> Step:
    feed, update, carry = _compiled(plan)
    batches = feed.train(0)
    return _held(update, carry, lambda: next(batches), feed)


def _compiled(plan: Plan) -> tuple[Feed, Callable, Any]:
    feed = Feed(plan)
    carry = stepping.initial_carry(plan, feed)
    update = plan.strategy.update(functools.partial(stepping.step, plan), carry)
    return feed, update, carry


def _held(update, carry, next_batch, feed) -> Step:
    held = [carry]

    def step():
        held[0], ticket = update(held[0], next_batch(), feed.constants)
        return ticket

    return step


def _loop_seconds(plan: Plan) -> float:
    """Returns the seconds per step of a whole run, from the first logged row to the last."""
    with tempfile.TemporaryDirectory() as folder:
        training_loop.train(plan, Path(folder), Clock(), Console(file=io.StringIO()))
        return seconds_a_step(Path(folder))


def seconds_a_step(workdir: Path) -> float:
    """Returns the seconds per step of a run in a workdir, from the first logged row to the last."""
    rows = runs.read_rows(workdir / "metrics.jsonl").rows
    return (rows[-1]["wall_time"] - rows[0]["wall_time"]) / (rows[-1]["step"] - rows[0]["step"])


def _first_step(config: str, cache: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        run = [
            *(sys.executable, "-m", "experiments.train", f"--workdir={folder}/run"),
            *(f"--config={config}", "--config.total=1 steps"),
            f"--config.compile_cache={cache}",
        ]
        subprocess.run(run, check=True, capture_output=True)
        summary = files.read_json(Path(folder, "run", "summary.json"))
    return {
        "first step": summary["seconds_to_first_step"],
        "compile": summary["phases"]["compile"],
    }


def _flops(plan: Plan) -> float:
    feed, _, carry = _compiled(plan)
    batch = next(feed.train(0))
    compiled = jax.jit(functools.partial(stepping.step, plan))
    return compiled.lower(carry, batch, feed.constants).compile().cost_analysis()["flops"]


def matmul_peak(dtype: str) -> float:
    """Measures the FLOP/s of a large matrix product on one device."""
    size = 2048 if jax.default_backend() == "cpu" else 8192
    x = jnp.ones((size, size), dtype)
    product = jax.jit(lambda a: a @ a / size)
    jax.block_until_ready(product(x))
    best = float("inf")
    for _ in range(5):
        begun = time.perf_counter()
        for _ in range(3):
            x = product(x)
        jax.block_until_ready(x)
        best = min(best, (time.perf_counter() - begun) / 3)
    return 2 * size**3 / best
