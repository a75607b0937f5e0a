"""The training loop of all tasks. It knows nothing about a particular task."""

import contextlib
import dataclasses
import functools
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.markup import escape

from library import config, task, trees
from library.parallel.watchdog import STEP, WATCHDOG
from library.reporting import notation, runs
from library.run import (
    artifacts,
    calls,
    early_stopping,
    evaluating,
    fine_tuning,
    parameter_updates,
    preemption,
    skipped,
    stepping,
    tracking,
)
from library.run.best import Best
from library.run.checkpoints import CheckpointError, Checkpoints
from library.run.clock import Clock
from library.run.evaluating import Evaluation
from library.run.feed import Feed
from library.run.logger import Logger
from library.run.plan import Plan
from library.run.profiling import Profiler, Span
from library.run.progress import Display, Pace, Timing
from library.run.sections import Checkpointing, Recipe, Reported
from library.run.stepping import Carry
from library.run.tracking import Tracker
from library.run.utilization import utilization
from library.summaries import summarize
from library.task import TrainState


class NonFiniteError(RuntimeError):
    """A step's loss, gradient or state was not finite; the last finite state is saved."""


class Preempted(Exception):  # noqa: N818 - a signal asked the run to stop; nothing failed
    """A signal asked the run to stop; its state is saved."""


def train(
    plan: Plan, workdir: Path, clock: Clock, console: Console, traced: Span | None = None
) -> dict[str, Any]:
    """Trains a plan in a workdir to its end, from the newest checkpoint if there is one.

    Args:
      plan: the run.
      workdir: the run's directory, already opened.
      clock: measures the phases; already started.
      console: shows the progress.
      traced: the steps to profile, if any.

    Returns:
      The loop's entries of summary.json: metrics, best, steps, the state's digest, ...

    Raises:
      Preempted: a signal asked the run to stop; its state is saved.
      NonFiniteError: a step was not finite.
      CheckpointError: a checkpoint could not be written, or none could be read.
    """
    with preemption.watch() as stop_asked:
        return _train(plan, workdir, clock, console, traced, stop_asked)


def _train(plan, workdir, clock, console, traced, stop_asked) -> dict[str, Any]:
    with clock.phase("data"):
        feed = Feed(plan, workdir / skipped.FILE)
        # Else the compilation, which reads it first, would seem to take this time.
        jax.block_until_ready(feed.first)
    keep = config.read(Checkpointing, plan.recipe.checkpoint, "checkpoint").keep
    checkpoints = Checkpoints(workdir, keep=keep)
    profiler = Profiler(traced, workdir)
    run = _Run(plan, workdir, feed, checkpoints, clock, console, profiler, stop_asked)
    with clock.phase("compile"):
        carry = stepping.initial_carry(plan, feed)
    del feed.first
    with clock.phase("checkpoint"):
        restored = checkpoints.restore(stepping.saved(carry))
    start = 0
    if restored:
        carry, start = carry._replace(**restored.carry), restored.step
        run.recall(restored.progress, start)
        run.before = restored.progress.get("timed_steps", start)
        console.print(f"resuming at step {start}")
    elif plan.recipe.init_from:
        carry = carry._replace(state=fine_tuning.started(plan, carry.state, console))
    run.reached = start
    # If the work due at this step is not done, it is done now, and its row is written again.
    told = tracking.setting(plan.recipe)
    log = Logger(workdir, resumed_at=start - run.due, warn=run._warn, setting=told)
    if log.problem:
        run._warn(log.problem)
    run.tracker = Tracker(plan.recipe.wandb, workdir, dataclasses.asdict(plan.recipe), run._warn)
    clock.resume(restored.progress["phases"] if restored else {}, reached=log.reached)
    try:
        return run.to_the_end(carry, start, log)
    except Exception:
        # Finish the current save, unless it has to wait for processes that may be gone.
        if jax.process_count() == 1:
            with contextlib.suppress(CheckpointError):
                checkpoints.close()
        raise
    finally:
        # On a full disk closing fails, too; the first error must stay visible.
        with contextlib.suppress(OSError):
            run.profiler.close()
            run.tracker.close()
            log.close()


class _Run:
    """The loop of one run, and its logging, evaluation and saving."""

    def __init__(self, plan, workdir, feed, checkpoints, clock, console, profiler, stop_asked):
        self.plan, self.workdir, self.feed = plan, workdir, feed
        self.checkpoints, self.clock, self.console = checkpoints, clock, console
        self.profiler, self.tracker = profiler, None
        self.stop_asked, self.stopping = stop_asked, False
        # Whether the logging, evaluation or save due at step `reached` is not done yet.
        self.due = False
        self.checkpointing = config.read(Checkpointing, plan.recipe.checkpoint, "checkpoint")
        self.best = Best(plan.recipe, self.checkpointing.best, self.checkpointing.direction())
        self.early = early_stopping.EarlyStop(plan) if plan.recipe.stop else None
        # The last step: that of the plan, or an earlier one if the run stops early.
        self.end = plan.total_steps
        self.log_every = plan.steps(plan.recipe.log_every)
        self.save_every = plan.steps(self.checkpointing.every)
        asked = plan.recipe.histograms_every
        self.update_monitor = parameter_updates.UpdateMonitor(
            None if asked is None else plan.steps(asked)
        )
        self.arrays: dict[str, np.ndarray] = {}
        self.warnings: list[dict[str, Any]] = []
        self.reached = 0
        self.evaluated: set[str] = set()
        # For rates: the timed steps of earlier starts, and the first step of this start.
        self.before, self.first = 0, 0
        self.began = self.logged = Timing(0, 0.0, 0.0)
        self.took: dict[str, float] = {}
        self.pace: Pace | None = None
        self.startup: float | None = None
        self.evaluations = evaluating.evaluations(plan, feed, warn=self._warn, pause=self._pause)

    def recall(self, progress: Mapping[str, Any], step: int) -> None:
        """Restores warnings, best values and an early end from the `progress` of a checkpoint."""
        warnings = progress.get("warnings", [])
        told = {each["text"] for each in warnings}
        self.warnings = [*warnings, *(each for each in self.warnings if each["text"] not in told)]
        self.best.value, self.due = progress["best"], progress.get("due", False)
        judged = progress.get("judged", self.best.judged)
        if self.best.value is not None and judged != self.best.judged:
            self._warn(
                f"the best value so far, {self.best.value:.6g}, no longer counts: the settings of "
                "the best checkpoint have changed"
            )
            self.best.value = None
        if self.early:
            self.early.recall(progress.get("stop"), step, self._warn)
            self.end = self.early.ended or self.end

    def to_the_end(self, carry, start, log) -> dict[str, Any]:
        self.start = self.first = self.reached = start
        self.carry, self.log = carry, log
        try:
            compiled = self._steps(start)
            return self._finish(self.carry, compiled)
        except (NonFiniteError, CheckpointError):
            raise
        except Preempted:
            self._save(self.reached, self.carry, best=False)
            self.close()
            raise Preempted(
                f"asked to stop: saved at step {self.reached}; run the same command again"
            ) from None
        except Exception:
            self._keep()
            raise

    def _steps(self, start: int) -> int | None:
        """Runs the remaining steps; returns how often the step was compiled, None if never."""
        plan, clock, carry = self.plan, self.clock, self.carry
        several = plan.recipe.steps_per_call > 1
        compiled = functools.partial(stepping.steps if several else stepping.step, plan)
        update = plan.strategy.update(compiled, carry)
        batches = self.feed.train(start, self._calls(start) if several else None)
        in_flight, reached = deque(), start
        # Without compilation, an operation may need constants from the host.
        guard = "allow" if jax.config.jax_disable_jit else "disallow"
        display = Display(self.console, total=plan.total_steps, start=start)
        with display, clock.phase("loop"):
            if self.due:
                carry = self._at(start, carry, display)
            for count, done in enumerate(self._calls(start), 1):
                self.profiler.before(reached + 1)
                reached = done
                with clock.phase("data" if count == 1 else "wait"):
                    batch = next(batches)
                self.update_monitor.before(done, carry.state.params)
                phase = "compile" if count == 1 else "train"
                with clock.phase(phase), jax.transfer_guard(guard):
                    carry, ticket = update(carry, batch, self.feed.constants)
                    in_flight.append(ticket)
                    if count == 1 or len(in_flight) > 2:
                        # The host stays at most two calls ahead, so that it reacts to a signal.
                        with WATCHDOG.limit(f"step {done}", STEP):
                            jax.block_until_ready(in_flight.popleft())
                self.reached, self.carry, self.due = done, carry, True
                if count == 1:
                    self.first = self.reached = done
                    self.began = self.logged = self._timing()
                    display.compiled(done)
                    self._note_startup()
                self.profiler.after(done, carry)
                carry = self._at(done, carry, display)
                if done == self.end:
                    break
        if jax.config.jax_disable_jit:
            return None
        return update._cache_size() if start < self.end else 0

    def _calls(self, start: int) -> Iterator[int]:
        """Yields the number of steps done after each call; a call ends wherever work is due."""
        every = {self.log_every, self.save_every, *(e.every for e in self.evaluations.values())}
        return calls.ends(
            start,
            self.end,
            self.plan.recipe.steps_per_call,
            every=every,
            alone=self.update_monitor.alone,
            after=self.profiler.bounds,
        )

    def _at(self, done: int, carry: Carry, display: Display) -> Carry:
        """Logs, evaluates and saves if due after a step; stops if a signal asked for it."""
        carry, row = self._row(done, carry)
        if row:
            self.log.write(done, self.clock.total(), row)
            self.tracker.write(done, row)
            display.show(done, row, self.pace)
        else:
            display.advance(done)
        self.carry, self.due = carry, False
        self._note_loss()
        stopping, best = self._stop_asked(), self.best.improves(done, row)
        last = done == self.end
        if done % self.save_every == 0 or last or stopping or best:
            self._save(done, carry, best)
        if stopping and not last:
            raise Preempted
        return carry

    def _row(self, done: int, carry: Carry) -> tuple[Carry, dict[str, float]]:
        """Returns the row of a step, empty if nothing is due; the row may end the run early."""
        row, last = {}, done == self.end
        logs = last or done % self.log_every == 0
        if logs:
            carry, row = self._train_row(done, carry)
        row |= self._update_ratio(done, carry)
        due = [k for k, e in self.evaluations.items() if last or done % e.every == 0]
        row |= self._evaluated(done, carry, due)
        if last or self.early is None or not self.early.ends(done, row):
            return carry, row
        self.end = done
        if not logs:
            carry, trained = self._train_row(done, carry)
            row = {**trained, **row}
        rest = [name for name in self.evaluations if name not in due]
        return carry, row | self._evaluated(done, carry, rest)

    def _note_loss(self) -> None:
        lost = getattr(self.console.file, "lost", None)
        if lost is not None:
            self._warn(f"the output of the run can no longer be written: {lost.strerror or lost}")

    def _stop_asked(self) -> bool:
        self.stopping = self.stopping or self.stop_asked()
        return self.stopping

    def _pause(self) -> None:
        """Ends an evaluation if a signal asked the run to stop; the next start repeats it whole."""
        if self._stop_asked():
            raise Preempted

    def _keep(self) -> None:
        """Saves the state of the last step, if possible, before an error ends the run."""
        # If one of several processes fails, it would wait for the others, and they for it.
        if self.reached == self.start or jax.process_count() > 1:
            return
        # The error may have destroyed the state, or may come from the disk.
        with contextlib.suppress(Exception):
            self._save(self.reached, self.carry, best=False)
            self.checkpoints.wait()
            self.console.print(f"the state after step {self.reached} is saved")

    def _note_startup(self) -> None:
        phases, self.startup = self.clock.read(), round(self.clock.total(), 3)
        named = ("import", "build", "data", "compile")
        shown = [f"{name} {phases[name]:.1f} s" for name in named if name in phases]
        self.console.print(f"first step done: {', '.join(shown)}", highlight=False)

    def _train_row(self, done: int, carry: Carry) -> tuple[Carry, dict[str, float]]:
        with self.clock.phase("train"):
            totals, skipped = jax.device_get((carry.totals, carry.skipped))
        self._check(carry)
        self.feed.tell(self._warn)
        trained = self._timing()
        since, self.logged = trained.since(self.logged), trained
        left = self.end - done, self._evaluating_left(done)
        self.pace = Pace.of(since, trained.since(self.began), *left)
        found = summarize(totals, self.plan.task.summaries)
        row = {f"train/{k}": float(v) for k, v in found.items() if np.ndim(v) == 0}
        row |= {f"train/{k}": float(f(done - 1)) for k, f in self.plan.learning_rates.items()}
        count = self.plan.loader.source.examples_per_epoch
        if count is not None:
            row["train/epoch"] = round(done * self.plan.dataset.batch_size / count, 4)
        rate = since.per_second(self.plan.dataset.batch_size)
        row |= {} if rate is None else {"train/examples_per_second": rate}
        share = utilization(self.plan, since.per_second())
        row |= {} if share is None else {"train/flops_utilization": share}
        row |= {f"train/skipped_{k}": int(v) for k, v in skipped.items() if v}
        zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), totals)
        return carry._replace(totals=self.plan.strategy.replicate(zeros)), row

    def _update_ratio(self, done: int, carry: Carry) -> dict[str, float]:
        """Logs histograms of the last step's update if they are due, and returns its ratio."""
        if not self.update_monitor.due:
            return {}
        self._check(carry)
        with self.clock.phase("evaluate"):
            found = self.update_monitor.after(carry.state.params)
            self.log.write_updates(done, found)
        ratio = found.ratio()
        return {} if ratio is None else {"train/update_ratio": ratio}

    def _timing(self) -> Timing:
        return Timing(self.before + self.reached - self.first, *self.clock.training())

    def _evaluating_left(self, done: int) -> float:
        """Estimates the seconds of all later evaluations, each as long as its last run."""
        last = self.end
        left = {k: -(-last // e.every) - done // e.every for k, e in self.evaluations.items()}
        return sum(left[name] * took for name, took in self.took.items()) if done < last else 0.0

    def _evaluated(self, done: int, carry: Carry, names: Iterable[str]) -> dict[str, float]:
        row = {}
        for name in names:
            self._check(carry)
            row |= self._evaluate(done, name, self.evaluations[name], carry.state)
        return row

    def _evaluate(
        self, done: int, name: str, evaluation: Evaluation, state: TrainState
    ) -> dict[str, float]:
        before = self.clock.read().get("evaluate", 0.0)
        with self.clock.phase("evaluate"):
            self._pause()
            found = evaluating.measured(name, evaluation, state)
            arrays = {k: v for k, v in found.items() if np.ndim(v)}
            others = artifacts.keep_samples(arrays, done, self.workdir, self._warn)
            self.arrays |= others
            samples = artifacts.drawn_samples(arrays.keys() - others, done, self.workdir)
            self.log.write_samples(done, samples)
        self.evaluated.add(name)
        self.took[name] = self.clock.seconds["evaluate"] - before
        return {k: float(v) for k, v in found.items() if not np.ndim(v)}

    def _warn(self, message: str) -> None:
        self.console.print(f"[yellow]warning:[/] {escape(message)}", highlight=False)
        # After a resume an evaluator may repeat its warnings.
        if all(each["text"] != message for each in self.warnings):
            self.warnings.append({"step": self.reached, "text": message})

    def _save(self, done: int, carry: Carry, best: bool) -> None:
        self._check(carry)
        self.feed.tell(self._warn)
        with self.clock.phase("checkpoint"):
            self.log.sync()
            self.checkpoints.save(done, stepping.saved(carry), self._progress(self.due), best=best)

    def _progress(self, due: bool) -> dict[str, Any]:
        # A copy: the save is asynchronous, and the run may add warnings meanwhile.
        warnings = [*self.warnings]
        return {
            "best": self.best.value,
            "judged": self.best.judged,
            "stop": self.early and self.early.progress(),
            "phases": self.clock.read(),
            "timed_steps": self._timing().steps,
            "warnings": warnings,
            "due": due,
        }

    def _check(self, carry: Carry) -> None:
        """Saves the last finite state and raises NonFiniteError if a step was not finite."""
        broken = jax.device_get(carry.broken)
        if not broken.any():
            return
        good = int(jax.device_get(carry.state.step))
        names = task.nonfinite_names(carry.state)
        named = [n for n, flag in zip(names, broken) if flag] if len(names) == len(broken) else []
        shown = ", ".join(named[:8]) + (f" and {len(named) - 8} more" if len(named) > 8 else "")
        if good:
            self.checkpoints.save(good, stepping.saved(carry), self._progress(False), best=False)
        self.close()
        saved = f"; the state after step {good} is saved" if good else ""
        raise NonFiniteError(
            f"step {good + 1} is not finite in {shown or 'its metrics'}{saved}. "
            "on_nonfinite='skip' skips such steps and counts them"
        )

    def _finish(self, carry: Carry, compiled: int | None) -> dict[str, Any]:
        self.reached = self.end
        for name, evaluation in self.evaluations.items():
            # If only the summary was missing, this start has not evaluated yet.
            if name not in self.evaluated:
                self._evaluate(self.end, name, evaluation, carry.state)
        with self.clock.phase("evaluate"):
            artifacts.write(
                self.plan, self.feed, carry.state, self.arrays, self.workdir, self._warn
            )
        with self.clock.phase("checkpoint"):
            self.checkpoints.wait()
        summary = self._summary(carry, compiled)
        self.close()
        return summary

    def _summary(self, carry: Carry, compiled: int | None) -> dict[str, Any]:
        rows = self.log.rows
        final = {k: self.log.last(k) for row in rows for k in row if k not in ("step", "wall_time")}
        trained = self._timing()
        return {
            "status": "finished",
            "steps": self.end,
            "stopped_early": self.early and self.early.summary(),
            "metrics": final,
            "best": _best(rows, self.plan.recipe),
            "result": _result(final, self.plan.recipe.reported),
            "seed": self.plan.recipe.seed,
            "parameters": sum(x.size for x in jax.tree.leaves(carry.state.params)),
            "examples_per_second": trained.per_second(self.plan.dataset.batch_size),
            "waiting_for_data": trained.waiting(),
            "skipped": {k: int(v) for k, v in jax.device_get(carry.skipped).items()},
            "skipped_by_split": skipped.counts(self.feed.skipped.tallies()),
            "warnings": self.warnings,
            "train_step_compilations": compiled,
            "seconds_to_first_step": self.startup,
            "state_sha256": trees.digest(carry.state),
        }

    def close(self) -> None:
        """Waits for the last save and closes the files."""
        with self.clock.phase("checkpoint"):
            self.checkpoints.close()
        self.log.close()


def _best(rows: list[dict[str, Any]], recipe: Recipe) -> dict[str, float]:
    if not recipe.reported:
        return {}
    metric = recipe.reported["metric"]
    mode = runs.direction({"checkpoint": recipe.checkpoint}, metric)
    values = [row[metric] for row in rows if metric in row]
    return {metric: notation.best_of(metric, values, mode)} if values and mode else {}


def _result(final: Mapping[str, float], reported: Mapping[str, Any] | None) -> dict | None:
    if not reported:
        return None
    claim = config.read(Reported, reported, "reported")
    value = final.get(claim.metric)
    gap = None if value is None else value - claim.value
    return {
        "metric": claim.metric,
        "value": value,
        "reported": claim.value,
        "source": claim.source,
        "gap": gap,
    }
