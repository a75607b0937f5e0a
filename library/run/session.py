"""A whole run, from its config to its report: everything around the loop."""

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from library.config import ConfigError
from library.data.preprocessing import CorruptExample, UnfitExample
from library.files import read_json
from library.output_streams import FaultTolerantStream
from library.parallel.agreement import broadcast_from_first
from library.parallel.processes import STOPPED
from library.reporting import claims, notation
from library.run import (
    data_record,
    environment,
    evaluating,
    exported,
    fine_tuning,
    loop,
    own_files,
    ownership,
    prolonging,
    restoring,
    skipped,
)
from library.run.checkpoints import CheckpointError
from library.run.clock import Clock
from library.run.data_record import DataRecord
from library.run.feed import Feed
from library.run.plan import Plan
from library.run.profiling import Span
from library.run.recipe import make_plan
from library.run.workdir import (
    check_same_run,
    has_checkpoint,
    open_workdir,
    replaced,
    set_aside,
    write_json,
)
from library.task import TrainState

# Files that a start writes beside its config; without a checkpoint no later start continues them.
_OF_A_RUN = (data_record.FILE, "metrics.jsonl", "samples", skipped.FILE)
_FAILURES = (loop.NonFiniteError, CheckpointError, CorruptExample, UnfitExample, OSError)


def train(
    values: Mapping[str, Any],
    identity: Mapping[str, Any],
    workdir: Path,
    clock: Clock,
    console: Console,
    traced: Span | None = None,
    prolongs: bool = False,
) -> int:
    """Trains a config in a workdir and writes the report; returns the program's exit code.

    Args:
      values: the config.
      identity: the origin of the config (path, variant, overrides, command), for config.json.
      workdir: the directory, which may hold an unfinished run of the same config.
      clock: the clock, started with the program.
      console: the output.
      traced: the steps to profile, if any.
      prolongs: whether to make the run of the workdir longer, see `prolonging`.

    Raises:
      ConfigError: the config or the workdir is invalid, another run owns the workdir, the data
        differ from the run's data record, or the run cannot be made longer.
    """
    console.file = FaultTolerantStream(console.file)
    environment.enable_compile_cache(values.get("compile_cache", "~/.cache/compendium"))
    _check_not_imported(workdir)
    with clock.phase("build"):
        start = (prolonging.prolong if prolongs else prolonging.unchanged)(workdir, values)
        values, identity = start.values, start.identity(identity)
        recorded = _recorded(workdir, values, start)
        try:
            plan = make_plan(values, recorded=recorded)
        except (CorruptExample, UnfitExample) as error:
            raise ConfigError(str(error)) from error
        if traced and traced.stop > plan.total_steps + 1:
            raise ConfigError(
                f"--profile={traced.start}:{traced.stop}: the run has {plan.total_steps} steps"
            )
        if plan.recipe.init_from and not has_checkpoint(workdir):
            fine_tuning.check(plan.recipe.init_from, plan)
        record = recorded or plan.splits.found()
        data_record.check_processes(record)
    # All processes show errors; only the first one shows everything else.
    shown = console if jax.process_index() == 0 else Console(quiet=True)
    with ownership.owning(workdir, shown.print):
        workdir = _opened(workdir, start, identity, recorded, record, shown)
        return _train(plan, identity, workdir, clock, console, shown, traced)


def _opened(workdir, start: prolonging.Longer, identity, recorded, record, shown) -> Path:
    """Opens a workdir that this process owns: writes its config and, if it has none, its record."""
    lines = replaced(workdir, start.values)
    if lines:
        text = (
            f"note: {workdir} has no checkpoint yet, so its config changes: {'; '.join(lines[:8])}"
        )
        shown.print(text, highlight=False, markup=False)
        set_aside(workdir, "replaced", _OF_A_RUN)
    prolonging.prepare(workdir, start)
    if start.at is not None:
        shown.print(start.history[-1]["said"], highlight=False, markup=False)
    workdir = open_workdir(workdir, start.values, identity, prolonged=start.at is not None)
    kept = data_record.read(workdir)
    if kept is not None and recorded is None and jax.process_count() == 1:
        raise ConfigError(
            f"another run was started in {workdir} meanwhile; run the same command again"
        )
    if kept is None:
        if has_checkpoint(workdir):
            shown.print(data_record.unknown(workdir), highlight=False)
        data_record.write(workdir, record)
    return workdir


def _train(plan, identity, workdir, clock, console, shown, traced) -> int:
    finished = workdir / "summary.json"
    if broadcast_from_first(finished.is_file()):
        if jax.process_index():
            return 0
        shown.print(f"{workdir} holds a finished run of this config; nothing to do")
        if not (workdir / "report.html").is_file():
            _report(workdir, shown)
        summary = read_json(finished)
        result = claims.judged(summary.get("result"), identity.get("overrides", ()))
        show_result({**summary, "result": result}, workdir, shown)
        return 0
    parameters = sum(x.size for x in jax.tree.leaves(plan.state.params))
    name = ":".join(filter(None, (identity.get("path", "config"), identity.get("variant"))))
    shown.print(
        f"{name}: "
        f"{parameters:,} parameters, {_epoch(plan)}"
        f"{plan.total_steps:,} steps of {plan.dataset.batch_size} on {jax.device_count()} "
        f"{jax.default_backend()} device(s); workdir {workdir}",
        highlight=False,
    )
    for note in plan.loader.source.notes:
        shown.print(f"note: {note}", highlight=False, markup=False)
    try:
        outcome = loop.train(plan, workdir, clock, shown, traced)
    except loop.Preempted as stop:
        shown.print(str(stop))
        return STOPPED
    except _FAILURES as error:
        own_files.raise_own(error)
        if hidden := own_files.behind(error):
            text = own_files.described(hidden)
            console.print(text, highlight=False, markup=False, soft_wrap=True)
        console.print(f"[bold red]error:[/] {escape(str(error))}", highlight=False)
        return 1
    phases, wall_time = clock.read(), clock.total()
    summary = {
        **outcome,
        **environment.describe(),
        "prolonged": [_shown(entry) for entry in identity.get("prolonged", ())],
        "result": claims.judged(outcome["result"], identity.get("overrides", ())),
        "phases": phases,
        "wall_time": wall_time,
        "goodput": phases.get("train", 0.0) / wall_time,
        "command": identity.get("command"),
    }
    write_json(finished, summary)
    _report(workdir, shown)
    show_result(summary, workdir, shown)
    return 0


def _check_not_imported(workdir: Path) -> None:
    held = [(workdir / name).exists() for name in ("config.json", "checkpoints")]
    if all(held) and exported.facts(workdir) is not None:
        raise ConfigError(
            f"workdir {workdir} holds an imported run, which has no optimizer state: name another "
            f"workdir, and start from its weights by --config.init_from.workdir={workdir}"
        )


def _epoch(plan: Plan) -> str:
    count = plan.loader.source.examples_per_epoch
    return "no data, " if count is None else f"{count:,} examples an epoch, "


def _report(workdir: Path, console: Console) -> None:
    # The run is complete without its report, which can be drawn at any time.
    try:
        # This import takes a while, and nothing waits for it any more.
        from library.reporting import report

        if jax.process_index() == 0:
            report.write_report(workdir)
    except Exception as error:
        console.print(
            f"[yellow]warning:[/] the report could not be drawn: {type(error).__name__}: {error}. "
            f"python -m experiments.report --workdir={workdir} draws it again",
            highlight=False,
        )


def _shown(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a summary has of an earlier total of its run."""
    return {key: entry[key] for key in ("total", "steps", "at", "exact", "said")}


def _recorded(
    workdir: Path, values: Mapping[str, Any], start: prolonging.Longer
) -> DataRecord | None:
    """Reads the data record of the run in a workdir if the run has this config."""
    try:
        check_same_run(workdir, values, prolonged=start.at is not None)
        if replaced(workdir, values):
            return None
    except ConfigError:
        # `open_workdir` reports this error later, after the errors of the config itself.
        return None
    return data_record.of_run(workdir, values)


class Trained(NamedTuple):
    """A restored run: its plan, its data, and the step and the state of a checkpoint."""

    plan: Plan
    feed: Feed
    step: int
    state: TrainState


def restore(
    values: Mapping[str, Any],
    workdir: Path,
    *,
    which: str = "latest",
    check: Callable[[Plan], None] = lambda plan: None,
    listed: Path | None = None,
    evaluates: bool = False,
) -> Trained:
    """Restores a run from its workdir.

    The run's data record stands for its training split, which is not opened. Other splits are
    opened where they are used.

    Args:
      values: the run's config; devices, batch sizes and the like may differ.
      workdir: the run's directory.
      which: the "latest" or the "best" checkpoint.
      check: raises ConfigError if the plan does not suit the caller, before the checkpoint is
        read or anything is compiled.
      listed: the file that lists examples skipped from now on; None for no file.
      evaluates: whether the plan has the evaluators of `values`; what they need is opened then.

    Raises:
      ConfigError: there is no such checkpoint, it holds another model than the config builds, or
        a split that is opened differs from the run's data record.
    """
    environment.enable_compile_cache(values.get("compile_cache", "~/.cache/compendium"))
    recorded = data_record.of_run(workdir, values)
    values = restoring.without_training(values)
    values = values if evaluates else restoring.without_evaluations(values)
    plan = make_plan(values, recorded=recorded, trains=False)
    check(plan)
    step, state = restoring.state_like(plan.state, workdir, which=which)
    if recorded is None:
        print(data_record.unknown(workdir), file=sys.stderr)
    return Trained(plan, Feed(plan, listed), step, plan.strategy.init(lambda x: x, state))


def evaluate(
    values: Mapping[str, Any], workdir: Path, *, which: str = "latest"
) -> tuple[int, dict[str, float]]:
    """Runs a config's evaluators on a checkpoint of its run.

    Skipped examples are printed, and listed in evaluation-skipped.json of the workdir if that can
    be written.

    Returns:
      The checkpoint's step, and every measured number, as "evaluator/metric".

    Raises:
      ConfigError: the config names no evaluators, or an error of `restore`.
    """
    listed = None
    # The workdir may be on a read-only file system.
    if os.access(workdir, os.W_OK):
        listed = workdir / f"evaluation-{skipped.FILE}"
        # An example that an earlier evaluation could not read may be readable now.
        listed.unlink(missing_ok=True)
    trained = restore(values, workdir, which=which, listed=listed, evaluates=True)
    evaluations = evaluating.evaluations(trained.plan, trained.feed)
    if not evaluations:
        raise ConfigError(f"the config of {workdir} names no evaluators")
    found = {}
    for name, evaluation in evaluations.items():
        found |= evaluating.measured(name, evaluation, trained.state)
    return trained.step, {k: float(v) for k, v in found.items() if not np.ndim(v)}


def show_result(summary: Mapping[str, Any], workdir: Path, console: Console) -> None:
    """Prints the final metrics, the result beside the reported value, and the report's path."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in summary["metrics"].items():
        if not name.startswith("train/"):
            table.add_row(name, _written(value))
    console.print(table)
    for line in skipped.lines(summary.get("skipped_by_split", {})):
        console.print(f"[yellow]{line}[/]; {skipped.FILE} names them", highlight=False)
    if summary.get("stopped_early"):
        console.print(notation.stopped_early(summary["stopped_early"]), highlight=False)
    result = summary.get("result")
    if result and result["metric"] in summary["metrics"]:
        said = f"[bold]{result['metric']} {_written(result['value'])}[/], reported "
        said += f"{result['reported']:.4f} ({result['source']})"
        if changed := result.get("changed"):
            said += f" for the unchanged recipe; this run overrides {', '.join(changed)}"
        elif result["gap"] is not None:
            said += f", gap {result['gap']:+.4f}"
        console.print(said, highlight=False)
    console.print(f"report: {workdir / 'report.html'}", highlight=False)


def _written(value: float | None) -> str:
    # A JSON file has null in place of a number that is not finite.
    return "nan" if value is None else f"{value:.4f}"
