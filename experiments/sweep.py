"""Trains a recipe with several seeds, or on all folds: `python -m experiments.sweep --seeds=0,1,2`.

    python -m experiments.sweep --config=PATH[:VARIANT] --seeds=0,1,2
    python -m experiments.sweep --config=PATH --folds=10 [--seeds=0,1,2] [--jobs=2]

Each run has its own workdir below `--root`, by default `runs/NAME-sweep`. `--folds=10` divides
`dataset.train` into ten parts, with all classes in each. A run is tested on one part and trains on
the others. A recipe that states `dataset.folds` is run on all its folds without `--folds`.

Run the same command again to continue: finished runs stay, and a stopped run goes on. If a run
fails, the others still run. The program then names it, and ends with 1.

It prints mean and deviation of the metric that the recipe claims, or of `--metric`, and writes them
to sweep.json in the root, with each run's value and the mean after each evaluation.
`python -m experiments.report --record=NAME --system=NAME --workdir=ROOT` keeps them in results/.
`--config.KEY=VALUE` overrides a value; docs/config.md lists every key.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

from experiments import command_line
from library.config import ConfigError
from library.output_streams import FaultTolerantStream

_CONFIG = flags.DEFINE_string("config", command_line.DEFAULT_CONFIG, command_line.CONFIG_HELP)
_SEEDS = flags.DEFINE_list("seeds", None, "Seeds, such as 0,1,2; by default that of the config.")
_FOLDS = flags.DEFINE_integer("folds", None, "Number of folds, each for one run to be tested on.")
_ROOT = flags.DEFINE_string("root", None, "Folder of the workdirs; by default runs/NAME-sweep.")
_JOBS = flags.DEFINE_integer("jobs", 1, "Runs at the same time.", lower_bound=1)
_METRIC = flags.DEFINE_string("metric", None, "The metric; by default the one that is claimed.")


class Point(NamedTuple):
    """One run: the name of its workdir, its seed and fold, its overrides, and its config."""

    name: str
    seed: int
    fold: int | None
    overrides: dict[str, str]
    values: dict[str, Any]


def main() -> int:
    """Runs all seeds and folds, and writes and prints their mean and deviation.

    If the terminal, the pipe or the disk of its output goes away, the sweep goes on.
    """
    out, errors = (FaultTolerantStream(stream) for stream in (sys.stdout, sys.stderr))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        code = _sweep()
        # What is lost from here on would be an error of the program.
        out.flush()
        errors.flush()
    return code


def _sweep() -> int:
    request = command_line.request(_CONFIG.value)
    points = _points(request, _seeds(request.values), _folds(request.values))
    root = Path(_ROOT.value or Path("runs") / f"{request.name}-sweep").expanduser()

    from library.reporting import sweeps
    from library.run import recipe, workdir

    for point in points:
        recipe.read(point.values)
        workdir.check_same_run(root / point.name, point.values)
    left = [point for point in points if not (root / point.name / "summary.json").is_file()]
    codes = dict.fromkeys((point.name for point in points), 0)
    codes |= _run_all(left, root)
    members = [sweeps.Member(p.name, p.seed, p.fold, codes[p.name]) for p in points]
    made = sweeps.summary(root, members, _METRIC.value)
    origin = {k: request.identity[k] for k in ("path", "variant", "overrides", "command")}
    workdir.write_json(root / sweeps.FILE, {**made, "_config": origin})
    print("\n".join(sweeps.lines(made)))
    print(root / sweeps.FILE)
    return _ended(codes)


def _seeds(values: dict[str, Any]) -> list[int]:
    given = _SEEDS.value if _SEEDS.value is not None else [str(values.get("seed", 0))]
    most = command_line.MOST_SEED
    for text in given:
        if not text.strip().isdigit() or int(text) > most:
            raise ConfigError(f"--seeds: {text!r} is no seed: valid are 0 to {most}")
    seeds = [int(text) for text in given]
    if not seeds or len(set(seeds)) < len(seeds):
        raise ConfigError(f"--seeds={','.join(given)}: write different seeds, such as 0,1,2")
    return seeds


def _folds(values: dict[str, Any]) -> int | None:
    stated = (values.get("dataset", {}).get("folds") or {}).get("num")
    if None not in (stated, _FOLDS.value) and stated != _FOLDS.value:
        raise ConfigError(f"--folds={_FOLDS.value}: the recipe has {stated} folds; leave it out")
    found = stated if _FOLDS.value is None else _FOLDS.value
    if found is not None and (isinstance(found, bool) or not isinstance(found, int) or found < 2):
        raise ConfigError(f"--folds={found}: valid are 2 or more")
    return found


def _points(request: command_line.Request, seeds: Sequence[int], folds: int | None) -> list[Point]:
    """Returns the runs of a sweep, one for each fold and seed."""
    from experiments.config_files import load_config, texts

    for key, flag in (("seed", "seeds"), ("dataset.folds.fold", "folds")):
        if key in request.identity["overrides"]:
            raise ConfigError(f"--config.{key} names one run of a sweep: write --{flag}")
    if len(seeds) * (folds or 1) < 2:
        raise ConfigError("a sweep has two runs or more: add --seeds=0,1,2 or --folds=10")
    points = []
    for fold in [None] if folds is None else range(folds):
        for seed in seeds:
            name = f"seed={seed}" if fold is None else f"fold={fold},seed={seed}"
            changes = {"seed": seed}
            if fold is not None:
                changes |= {"dataset.folds.num": folds, "dataset.folds.fold": fold}
            overrides = {**request.identity["overrides"], **texts(changes)}
            values = load_config(_CONFIG.value, overrides)[0]
            points.append(Point(name, seed, fold, overrides, values))
    return points


def _run_all(points: Sequence[Point], root: Path) -> dict[str, int]:
    """Runs the points, some at a time, and returns the exit code of each."""
    started: list[subprocess.Popen] = []
    stopping = threading.Event()

    def run(point: Point) -> int:
        if stopping.is_set():
            return command_line.STOPPED
        print(f"{point.name}: starts", flush=True)
        code = _run(point, root, started, stopping)
        if code not in (0, command_line.STOPPED):
            told = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            print(f"{point.name} failed ({told}){_output(point, root)}", flush=True)
        return code

    with _forwarding_signals(started, stopping), ThreadPoolExecutor(_JOBS.value) as pool:
        return dict(zip((point.name for point in points), pool.map(run, points)))


def _run(point: Point, root: Path, started: list, stopping: threading.Event) -> int:
    command = [sys.executable, "-m", "experiments.train", f"--config={_CONFIG.value}"]
    command += [f"--config.{key}={text}" for key, text in point.overrides.items()]
    command += [f"--workdir={root / point.name}"]
    with contextlib.ExitStack() as opened:
        to = None
        if _JOBS.value > 1:
            _log(point, root).parent.mkdir(parents=True, exist_ok=True)
            to = opened.enter_context(_log(point, root).open("a"))
        # A terminal sends Ctrl-C to the whole group, and a run must get it once.
        process = subprocess.Popen(command, stdout=to, stderr=to, start_new_session=True)
        started.append(process)
        if stopping.is_set():
            # The signal came while the process started.
            _ask_to_stop(process)
        code = process.wait()
    # A run that could not catch the signal yet has done nothing.
    return command_line.STOPPED if stopping.is_set() and code == -signal.SIGTERM else code


def _ask_to_stop(process: subprocess.Popen) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGTERM)


def _log(point: Point, root: Path) -> Path:
    return root / f"{point.name}.txt"


def _output(point: Point, root: Path) -> str:
    return f"; its output: {_log(point, root)}" if _JOBS.value > 1 else ""


def _ended(codes: dict[str, int]) -> int:
    """Returns the exit code of a sweep, and names the runs that have not finished."""
    failed = [name for name, code in codes.items() if code not in (0, command_line.STOPPED)]
    stopped = [name for name, code in codes.items() if code == command_line.STOPPED]
    if stopped:
        print(f"stopped: {', '.join(stopped)}; run the same command again")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
        return command_line.FAILED
    return command_line.STOPPED if stopped else 0


@contextlib.contextmanager
def _forwarding_signals(started: list, stopping: threading.Event) -> Iterator[None]:
    """Asks all runs to stop when this program is asked to."""
    from library.parallel import processes

    def forward(number, frame):
        stopping.set()
        for process in list(started):
            _ask_to_stop(process)

    previous = {n: signal.signal(n, forward) for n in processes.stopping_signals()}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    command_line.run(main)
