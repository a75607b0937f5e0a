"""Measures speed: `python -m experiments.benchmark [--only=loop,pipeline,start,step,peer]`.

Each figure is a ratio of two things measured in turn in one run, so that it holds while the
machine's speed drifts; times are medians.

    loop      a step of the loop over the same compiled step called in a bare loop
    pipeline  a step fed by the input pipeline over the same step fed one batch again and again
    start     the time to the first step with compiled programs cached, over without
    step      images a second, and the share of the measured matmul peak, of one training step
    peer      a training step here over the same one in PyTorch, where torch is installed

`--write=FILE.json` keeps the figures with the machine they were measured on.
"""

import contextlib
import functools
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from absl import flags

from experiments import command_line

KINDS = ("loop", "pipeline", "start", "step", "peer")
_ONLY = flags.DEFINE_list("only", list(KINDS), f"Some of {', '.join(KINDS)}.")
_CONFIG = flags.DEFINE_string(
    "config", command_line.DEFAULT_CONFIG, "Recipe that loop, pipeline, start and step measure."
)
_STEPS = flags.DEFINE_integer("steps", 200, "Steps a measurement.", lower_bound=10)
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Times each pair is measured.", lower_bound=1)
_WRITE = flags.DEFINE_string("write", None, "JSON file to keep the figures in.")


def main() -> int:
    """Runs the chosen measurements, prints a line each and keeps them if asked to."""
    from library import config
    from library.training import environment

    for kind in _ONLY.value:
        config.check_choice("benchmark", kind, KINDS)
    values = command_line.request(_CONFIG.value).values
    measure = {
        "loop": lambda: loop(values),
        "pipeline": lambda: pipeline(values),
        "start": start,
        "step": lambda: training_step(values),
        "peer": peer,
    }
    figures = {}
    for kind in _ONLY.value:
        figures[kind] = measure[kind]()
        shown = ", ".join(f"{name} {_shown(value)}" for name, value in figures[kind].items())
        print(f"{kind:9s} {shown}", flush=True)
    if _WRITE.value:
        made = {"config": _CONFIG.value, "figures": figures, **environment.describe()}
        Path(_WRITE.value).write_text(json.dumps(made, indent=2) + "\n")
    return 0


def loop(values: dict[str, Any]) -> dict[str, float]:
    """Times the whole loop, logging every 50 steps, against calls of its compiled step."""
    from library.training.recipe import make_plan

    quiet = {**values, "evaluate": {}, "checkpoint": {"every": "100%"}, "log_every": "50 steps"}
    quiet["total"] = f"{50 * max(3, _STEPS.value // 50)} steps"
    plan = make_plan(quiet)
    bare = _bare_step(plan)
    return _pairs(lambda: _loop_seconds(plan), lambda: _seconds_each(bare))


def pipeline(values: dict[str, Any]) -> dict[str, float]:
    """Times steps whose batches are loaded and put on the device against one batch repeated."""
    from library.training.recipe import make_plan

    streamed = {**values, "dataset": {**values["dataset"], "cache": "none"}}
    figures = {}
    for name, chosen in {"streamed": streamed, "as configured": values}.items():
        plan = make_plan(chosen)
        fed, repeated = _fed_step(plan), _bare_step(plan)
        found = _pairs(functools.partial(_seconds_each, fed), lambda f=repeated: _seconds_each(f))
        figures |= {f"{name}: {k}": v for k, v in found.items()}
    return figures


def start() -> dict[str, float]:
    """Times starts to the first step in processes of their own, the compile cache empty or warm."""
    cold, warm = [], []
    for _ in range(max(1, _ROUNDS.value // 2)):
        with tempfile.TemporaryDirectory() as cache:
            cold.append(_first_step(cache))
            warm.append(_first_step(cache))
    ratios = [w["first step"] / c["first step"] for w, c in zip(warm, cold)]
    return {
        "cold s": statistics.median(c["first step"] for c in cold),
        "warm s": statistics.median(w["first step"] for w in warm),
        "warm/cold": statistics.median(ratios),
        "compile warm/cold": statistics.median(
            w["compile"] / c["compile"] for w, c in zip(warm, cold)
        ),
    }


def training_step(values: dict[str, Any]) -> dict[str, float]:
    """Times a training step; its FLOPs are the compiler's count, the peak is measured."""
    import jax

    from library.training.recipe import make_plan

    plan = make_plan(values)
    seconds = statistics.median(_seconds_each(_bare_step(plan)) for _ in range(_ROUNDS.value))
    flops = _flops(plan)
    dtype = values["model"].get("dtype", "float32")
    peak = _matmul_peak(dtype) * jax.device_count()
    return {
        "images/s": plan.dataset.batch_size / seconds,
        "ms": 1e3 * seconds,
        "GFLOP": flops / 1e9,
        f"share of {dtype} matmul peak": flops / seconds / peak,
        "peak TFLOP/s": peak / 1e12,
    }


def peer() -> dict[str, float]:
    """Times a training step of the MLP 784-800-800-10 here and in PyTorch, eager."""
    if importlib_missing("torch"):
        return {"torch is not installed, ratio": float("nan")}
    from library.training.recipe import make_plan

    values = command_line.load_config("configs/mnist/mlp.py:mlp")[0]
    return _pairs(
        functools.partial(_seconds_each, _bare_step(make_plan(values))),
        functools.partial(_seconds_each, _torch_mlp_step(values["dataset"]["batch_size"])),
    )


def importlib_missing(name: str) -> bool:
    """Says whether a module cannot be imported, without importing it."""
    import importlib.util

    return importlib.util.find_spec(name) is None


def _pairs(ours: Callable[[], float], theirs: Callable[[], float]) -> dict[str, float]:
    """Measures two things in turn; the ratio is the median over pairs."""
    pairs = [(ours(), theirs()) for _ in range(_ROUNDS.value)]
    return {
        "ms": 1e3 * statistics.median(a for a, _ in pairs),
        "against ms": 1e3 * statistics.median(b for _, b in pairs),
        "ratio": statistics.median(a / b for a, b in pairs),
    }


def _seconds_each(step: Callable[[], Any]) -> float:
    """Returns the seconds of a step; `step` returns something to wait for."""
    import jax

    jax.block_until_ready(step())
    begun = time.perf_counter()
    for _ in range(_STEPS.value):
        ticket = step()
    jax.block_until_ready(ticket)
    return (time.perf_counter() - begun) / _STEPS.value


def _compiled(plan):
    from library.training import loop as training_loop
    from library.training.feed import Feed

    feed = Feed(plan)
    carry = training_loop.initial_carry(plan, feed)
    update = plan.strategy.update(functools.partial(training_loop.step, plan), carry)
    return feed, update, carry


def _bare_step(plan) -> Callable[[], Any]:
    feed, update, carry = _compiled(plan)
    batch, held = next(feed.train(0)), [carry]

    def step():
        held[0], ticket = update(held[0], batch, feed.constants)
        return ticket

    return step


def _fed_step(plan) -> Callable[[], Any]:
    feed, update, carry = _compiled(plan)
    batches, held = feed.train(0), [carry]

    def step():
        held[0], ticket = update(held[0], next(batches), feed.constants)
        return ticket

    return step


def _loop_seconds(plan) -> float:
    """Returns the seconds a step of a whole run, from the first logged row to the last."""
    from rich.console import Console

    from library.training import loop as training_loop
    from library.training.clock import Clock
    from library.training.logger import read_rows

    with tempfile.TemporaryDirectory() as folder:
        training_loop.train(plan, Path(folder), Clock(), Console(file=io.StringIO()))
        rows = read_rows(Path(folder) / "metrics.jsonl")
    return (rows[-1]["wall_time"] - rows[0]["wall_time"]) / (rows[-1]["step"] - rows[0]["step"])


def _first_step(cache: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        run = [
            *(sys.executable, "-m", "experiments.train", f"--workdir={folder}/run"),
            *(f"--config={_CONFIG.value}", "--config.total=1 steps"),
            f"--config.compile_cache={cache}",
        ]
        subprocess.run(run, check=True, capture_output=True)
        summary = json.loads(Path(folder, "run", "summary.json").read_text())
    return {
        "first step": summary["seconds_to_first_step"],
        "compile": summary["phases"]["compile"],
    }


def _flops(plan) -> float:
    import jax

    feed, _, carry = _compiled(plan)
    batch = next(feed.train(0))
    from library.training import loop as training_loop

    step = jax.jit(functools.partial(training_loop.step, plan))
    return step.lower(carry, batch, feed.constants).compile().cost_analysis()["flops"]


def _matmul_peak(dtype: str) -> float:
    """Measures the FLOP/s of a large matrix product on one device."""
    import jax
    import jax.numpy as jnp

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


def _torch_mlp_step(batch_size: int) -> Callable[[], Any]:
    import torch

    torch.manual_seed(0)
    net = torch.nn.Sequential(
        *(torch.nn.Linear(784, 800), torch.nn.ReLU()),
        *(torch.nn.Linear(800, 800), torch.nn.ReLU()),
        torch.nn.Linear(800, 10),
    )
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    image = torch.rand(batch_size, 784)
    label = torch.randint(0, 10, (batch_size,))

    def step():
        optimizer.zero_grad(set_to_none=True)
        torch.nn.functional.cross_entropy(net(image), label).backward()
        optimizer.step()

    return step


def _shown(value: float) -> str:
    return f"{value:.4g}"


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        command_line.run(main)
