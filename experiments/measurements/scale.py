"""The costs of saving, of several devices or processes, and of scans over layers and remat."""

import functools
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments import command_line
from experiments.measurements.timing import Budget, in_turn, ratio, seconds_each
from experiments.measurements.training import seconds_a_step
from library.apps import planning
from library.models.sequence import gpt
from library.run import restoring
from library.run.checkpoints import Checkpoints
from library.run.recipe import make_plan

# A state of half a gigabyte, as large as that of the largest networks that a CPU trains here.
_LEAVES, _LEAF = 64, (1024, 2048)
_SAVES = 30
# The interval between saves of a long run, ten minutes.
_CADENCE = 600.0
_DEPTHS = (12, 48)
_LAYERS = dict(vocab_size=64, context=64, width=64, num_heads=4)


def checkpoints(budget: Budget) -> dict[str, float]:
    """Measures how long steps wait for each save, the memory of a save, and a restore."""
    state = {f"leaf{i}": jnp.full(_LEAF, float(i)) for i in range(_LEAVES)}
    size = sum(x.nbytes for x in state.values())
    work = jax.jit(lambda x: x @ x / jnp.sqrt(1.0 * x.shape[0]))
    x = jax.random.normal(jax.random.key(0), (1024, 1024))
    stalls, peaks = [], []
    with tempfile.TemporaryDirectory() as folder:
        made = Checkpoints(Path(folder))
        for step in range(1, _SAVES + 2):
            # Freed memory that the process keeps would hide the memory of a save.
            command_line.give_back_memory()
            resident = _resident()
            with _Peak() as peak:
                begun = time.perf_counter()
                made.save(step, state, {}, best=False)
                stalls.append(time.perf_counter() - begun)
                _steps_while(made, work, x)
            peaks.append(peak.highest - resident)
        made.wait()
        begun = time.perf_counter()
        jax.block_until_ready(made.restore(state).carry)
        restored = time.perf_counter() - begun
        made.close()
    steady = sorted(stalls[1:])
    p95 = steady[int(0.95 * len(steady))]
    return {
        "state MB": size / 1e6,
        "stall ms, median": 1e3 * statistics.median(steady),
        "stall ms, p95": 1e3 * p95,
        "restore s": restored,
        "share of ten minutes": (p95 + restored) / _CADENCE,
        "memory over the state": statistics.median(peaks[1:]) / size,
    }


def _steps_while(made: Checkpoints, work: Any, x: jax.Array) -> None:
    """Computes steps until the save is written, as a run does."""
    done = threading.Event()
    waiting = threading.Thread(target=lambda: (made.wait(), done.set()))
    waiting.start()
    while not done.is_set():
        x = jax.block_until_ready(work(x))
    waiting.join()


def _resident() -> int:
    """Returns the bytes of resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


class _Peak:
    """The most resident memory within a block of code, measured every five milliseconds."""

    def __enter__(self) -> "_Peak":
        self.highest, self._over = _resident(), threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.005):
            self.highest = max(self.highest, _resident())


def devices(values: dict[str, Any]) -> dict[str, float]:
    """Counts a recipe's work, memory and traffic on 1, 2, 4 and 8 devices, from compiled steps.

    Strong scaling keeps the size of the whole batch, weak scaling that of each device's part.
    """
    values = restoring.without_evaluations(values)
    batch = values["dataset"]["batch_size"]
    figures: dict[str, float] = {}
    for kind, size in (("strong", lambda n: batch), ("weak", lambda n: batch * n)):
        for count in (1, 2, 4, 8):
            chosen = {**values, "dataset": {**values["dataset"], "batch_size": size(count)}}
            found = planning.cost(make_plan(chosen, devices=jax.devices()[:count]))
            sent = sum(each.sent for each in found.collectives)
            figures[f"{kind}, {count}: GFLOP a device"] = found.flops / count / 1e9
            figures[f"{kind}, {count}: MB sent by each"] = sent / 1e6
            figures[f"{kind}, {count}: MB a device"] = found.peak_bytes / 1e6
    return figures


def layers(budget: Budget) -> dict[str, float]:
    """Compiles the gradient of 12 and of 48 Transformer blocks, one by one and in a scan."""
    figures = {}
    for name, scan in (("one by one", False), ("scan", True)):
        found = {
            depth: statistics.median(
                _compile_seconds(depth, scan) for _ in range(min(3, budget.rounds))
            )
            for depth in _DEPTHS
        }
        figures |= {f"{name}: {depth} layers s": seconds for depth, seconds in found.items()}
        few, many = _DEPTHS
        figures[f"{name}: {many}/{few}"] = found[many] / found[few]
    # Remat is measured in a scan: otherwise the CPU compiler reorders, and saves no memory.
    for remat in ("none", "dots", "full"):
        gradient, arguments = _gradient(_DEPTHS[0], True, remat)
        compiled = gradient.lower(*arguments).compile()
        figures[f"remat {remat}: MB between"] = compiled.memory_analysis().temp_size_in_bytes / 1e6
        seconds = _run_seconds(compiled, arguments, budget)
        figures[f"remat {remat}: ms"] = 1e3 * seconds
    return figures


def _run_seconds(compiled: Any, arguments: Any, budget: Budget) -> float:
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), arguments)
    few = budget.for_large_steps()
    return statistics.median(
        seconds_each(lambda: compiled(*zeros), few) for _ in range(budget.rounds)
    )


def processes(budget: Budget, config: str) -> dict[str, float]:
    """Times a step of one process and of two that share the machine, each started by `launch`."""
    found = in_turn(
        budget._replace(rounds=max(1, budget.rounds // 2)),
        {
            str(count): functools.partial(_launched_seconds, config, count, budget.steps)
            for count in (1, 2)
        },
    )
    return {
        "one process ms": 1e3 * statistics.median(found["1"]),
        "two processes ms": 1e3 * statistics.median(found["2"]),
        "two over one": ratio(found["2"], found["1"]),
    }


def _launched_seconds(config: str, count: int, steps: int) -> float:
    """Returns the seconds per step of a launched run, from the first logged row to the last."""
    with tempfile.TemporaryDirectory() as folder:
        workdir = Path(folder, "run")
        command = [sys.executable, "-m", "launch", "--on=local", f"--processes={count}", "--"]
        command += [f"--workdir={workdir}", f"--config={config}", f"--config.total={steps} steps"]
        command += [f"--config.log_every={max(1, steps // 4)} steps", "--config.evaluate={}"]
        command += ["--config.checkpoint={'every': '100%'}", "--config.reported=None"]
        subprocess.run(command, check=True, capture_output=True)
        return seconds_a_step(workdir)


def _compile_seconds(depth: int, scan: bool) -> float:
    gradient, arguments = _gradient(depth, scan, "none")
    lowered = gradient.lower(*arguments)
    begun = time.perf_counter()
    lowered.compile()
    return time.perf_counter() - begun


def _gradient(depth: int, scan: bool, remat: str) -> tuple[Any, tuple[Any, Any]]:
    model = gpt.gpt(**_LAYERS, depth=depth, scan_layers=scan, remat=remat)
    tokens = np.zeros((8, _LAYERS["context"]), np.int32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), tokens)

    def loss(variables, tokens):
        return jnp.sum(model.apply(variables, tokens) ** 2)

    return jax.jit(jax.grad(loss)), (shapes, tokens)
