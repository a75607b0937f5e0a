"""Checkpoints of a run: Orbax's, asynchronous and atomic, with checksums.

    checkpoints/latest/STEP     the newest `keep` checkpoints, for resuming
    checkpoints/best/STEP       the best checkpoint by a metric, if the config names one
    checkpoints/checksums/latest-STEP.json, best-STEP.json
    checkpoints/damaged/STEP    checkpoints that could not be read

A checkpoint holds every leaf of the carry under its path, and `progress`, plain values. One of them
is the checkpoint's format number.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from absl import logging
from jaxtyping import PyTree
from orbax.checkpoint.options import MultiprocessingOptions

from library import files, trees
from library.config import ConfigError
from library.parallel.agreement import all_processes
from library.parallel.watchdog import BARRIER, WATCHDOG

# The format of a checkpoint; it rises when an older one must be read in another way.
FORMAT = 1


class CheckpointError(RuntimeError):
    """A checkpoint could not be written or read; earlier files on disk are unchanged."""


class Restored(NamedTuple):
    """The content of a checkpoint: its step, the carry and the plain values saved with it."""

    step: int
    carry: PyTree
    progress: dict[str, Any]


class Checkpoints:
    """Saves and restores the carry of one run."""

    def __init__(self, workdir: Path, *, keep: int = 2):
        """Opens the checkpoints in a workdir, and deletes half-written ones.

        Args:
          workdir: the run's directory.
          keep: number of newest checkpoints to keep.
        """
        self.root = Path(workdir).absolute() / "checkpoints"
        self._latest = _manager(self.root / "latest", keep)
        self._best = _manager(self.root / "best", 1)
        self._kept = {self._latest: keep, self._best: 1}
        self._unsigned: list[Path] = []

    def save(self, step: int, carry: PyTree, progress: Mapping[str, Any], *, best: bool) -> None:
        """Starts a save, and returns as soon as the carry may be overwritten.

        Args:
          step: number of steps done.
          carry: arrays on devices.
          progress: plain values to save with the carry.
          best: whether to save it as the best checkpoint, too.

        Raises:
          CheckpointError: this checkpoint or the previous one could not be written.
        """
        with WATCHDOG.limit(f"the checkpoint of step {step}", BARRIER):
            self._save(step, carry, progress, best)

    def _save(self, step: int, carry: PyTree, progress: Mapping[str, Any], best: bool) -> None:
        self.wait()
        arguments = ocp.args.Composite(
            state=ocp.args.StandardSave(_detached(trees.flatten(carry))),
            progress=ocp.args.JsonSave({**progress, "format": FORMAT}),
        )
        try:
            for manager in (self._latest, self._best) if best else (self._latest,):
                if step not in manager.all_steps():
                    manager.save(step, args=arguments, force=True)
                    self._unsigned.append(Path(manager.directory) / str(step))
        except (OSError, ValueError, RuntimeError) as error:
            raise CheckpointError(_explain(step, self.root, error)) from error

    def wait(self) -> None:
        """Waits until the last save is on disk, and writes its checksums.

        Raises:
          CheckpointError: the checkpoint could not be written.
        """
        try:
            with WATCHDOG.limit("a checkpoint to be written", BARRIER):
                self._latest.wait_until_finished()
                self._best.wait_until_finished()
            for path in self._unsigned:
                _sign(path, self._signature(path))
        except (OSError, ValueError, RuntimeError) as error:
            steps = " and ".join(sorted({path.name for path in self._unsigned}))
            raise CheckpointError(_explain(steps, self.root, error)) from error
        finally:
            self._unsigned = []

    def restore(self, like: PyTree) -> Restored | None:
        """Restores the newest readable checkpoint, with the shardings of `like`.

        A damaged checkpoint is logged and moved to `damaged/`, and the one before it is used.

        Args:
          like: the carry, with its shapes, dtypes and shardings.

        Returns:
          The checkpoint's content; None if there is no checkpoint.

        Raises:
          CheckpointError: none of the checkpoints can be read, or one has a later format; all stay
            in place.
        """
        steps = sorted(self._latest.all_steps(), reverse=True)
        for tried, step in enumerate(steps):
            with WATCHDOG.limit(f"the restore of step {step}", BARRIER):
                restored, reason = self._attempt(step, like)
            if restored is None:
                logging.warning("checkpoint of step %d is damaged: %s", step, reason)
                continue
            with WATCHDOG.limit("the cleanup of the other checkpoints", BARRIER):
                for damaged in steps[:tried]:
                    self._set_aside(damaged)
                self._forget_after(step)
                self._complete()
            return restored
        if steps:
            raise CheckpointError(
                f"none of the checkpoints of steps {sorted(steps)} in {self.root} can be read; "
                f"the oldest: {reason}"
            )
        return None

    def close(self) -> None:
        """Waits for the last save and stops Orbax's threads."""
        try:
            self.wait()
        finally:
            self._latest.close()
            self._best.close()

    def _attempt(self, step: int, like: PyTree) -> tuple[Restored | None, str]:
        """Reads a checkpoint, or returns why not; either all processes can read it or none."""
        directory = Path(self._latest.directory) / str(step)
        _check_format(directory)
        restored, reason = None, "another process cannot read it"
        try:
            if jax.process_index() == 0:
                _verify(directory, self._signature(directory))
            sound = True
        except OSError as error:
            sound, reason = False, _first_line(error)
        if not all_processes(sound):
            return None, reason
        try:
            restored = self._read(step, like)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            reason = _first_line(error)
        return (restored if all_processes(restored is not None) else None), reason

    def _read(self, step: int, like: PyTree) -> Restored:
        abstract = {
            path: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)
            for path, x in trees.flatten(like).items()
        }
        # If one of many reads fails, Orbax leaves the others running in the background.
        _check_same(_described(self._latest, step), abstract)
        found = self._latest.restore(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardRestore(abstract), progress=ocp.args.JsonRestore()
            ),
        )
        leaves = [found["state"][path] for path in trees.paths(like)]
        carry = jax.tree.unflatten(jax.tree.structure(like), leaves)
        progress = {key: value for key, value in found["progress"].items() if key != "format"}
        return Restored(step, carry, progress)

    def _signature(self, directory: Path) -> Path:
        return self.root / "checksums" / f"{directory.parent.name}-{directory.name}.json"

    def _set_aside(self, step: int) -> None:
        source, target = self.root / "latest" / str(step), self.root / "damaged" / str(step)
        if jax.process_index() == 0:
            target.parent.mkdir(exist_ok=True)
            shutil.rmtree(target, ignore_errors=True)
            os.replace(source, target)
            # The run saves this step again; the old checksums would not match the new checkpoint.
            self._signature(source).unlink(missing_ok=True)
        # The other processes must reload after the move.
        all_processes(True)
        self._latest.reload()

    def _forget_after(self, step: int) -> None:
        # The run makes the later checkpoints again.
        for manager in (self._latest, self._best):
            for later in [s for s in manager.all_steps() if s > step]:
                self._delete(manager, later)

    def _complete(self) -> None:
        """Deletes old checkpoints and writes missing checksums, after a kill right after a save."""
        for manager, keep in self._kept.items():
            steps = sorted(manager.all_steps())
            for old in steps[:-keep]:
                self._delete(manager, old)
            newest = [Path(manager.directory) / str(step) for step in steps[-1:]]
            self._unsigned += [path for path in newest if not self._signature(path).is_file()]
        self.wait()

    def _delete(self, manager: ocp.CheckpointManager, step: int) -> None:
        manager.delete(step)
        if jax.process_index() == 0:
            self._signature(Path(manager.directory) / str(step)).unlink(missing_ok=True)


def load(workdir: Path, *, which: str = "latest") -> tuple[int, dict[str, Any]]:
    """Reads the leaves of a run's checkpoint as host arrays, by path.

    Args:
      workdir: the run's directory.
      which: "latest" or "best".

    Returns:
      The checkpoint's step, and its leaves by paths such as "state/params/head/kernel".

    Raises:
      ConfigError: the directory has no such checkpoint.
      CheckpointError: the checkpoint has a later format, does not match its checksums or cannot be
        read.
    """
    directory = newest(workdir, which=which)
    _check_format(directory)
    root, step = directory.parent, int(directory.name)
    try:
        _verify(directory, root.parent / "checksums" / f"{which}-{step}.json")
        with ocp.CheckpointManager(
            root,
            item_handlers={"state": ocp.StandardCheckpointHandler()},
            options=ocp.CheckpointManagerOptions(read_only=True),
        ) as manager:
            tree = _described(manager, step)
            if not tree:
                raise ValueError("it describes no arrays")
            like = {path: np.empty(v.shape, v.dtype) for path, v in tree.items()}
            found = manager.restore(
                step, args=ocp.args.Composite(state=ocp.args.StandardRestore(like))
            )
            leaves = {path: np.asarray(leaf) for path, leaf in found["state"].items()}
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{directory} cannot be read: {error}") from error
    return step, leaves


def shapes(workdir: Path, *, which: str = "latest") -> dict[str, jax.ShapeDtypeStruct]:
    """Returns the shapes and dtypes of the leaves that `load` reads, by path.

    For a damaged checkpoint it returns an empty dict.

    Raises:
      ConfigError: the directory has no such checkpoint.
    """
    directory = newest(workdir, which=which)
    try:
        with ocp.CheckpointManager(
            directory.parent,
            item_handlers={"state": ocp.StandardCheckpointHandler()},
            options=ocp.CheckpointManagerOptions(read_only=True),
        ) as manager:
            tree = _described(manager, int(directory.name))
            return {path: jax.ShapeDtypeStruct(v.shape, v.dtype) for path, v in tree.items()}
    # Damage causes many kinds of errors; `load` reports it.
    except Exception:
        return {}


def newest(workdir: Path, *, which: str = "latest") -> Path:
    """Returns the directory of a run's newest checkpoint, or of its best one.

    Raises:
      ConfigError: the workdir has no such checkpoint.
    """
    root = Path(workdir).expanduser().absolute() / "checkpoints" / which
    steps = [int(p.name) for p in root.iterdir() if p.name.isdigit()] if root.is_dir() else []
    if not steps:
        hint = ": config.checkpoint.best names the metric to choose by" if which == "best" else ""
        raise ConfigError(f"{workdir} holds no {which} checkpoint (looked in {root}){hint}")
    return root / str(max(steps))


def _check_format(directory: Path) -> None:
    """Raises CheckpointError if a later version wrote a checkpoint; one without a number has 1."""
    try:
        written = json.loads((directory / "progress" / "metadata").read_text()).get("format", 1)
    except (OSError, ValueError, AttributeError):
        # It is damaged; whoever reads all of it says how.
        return
    if isinstance(written, int) and written > FORMAT:
        raise CheckpointError(
            f"checkpoint {directory} has format {written}, and this version reads formats up to "
            f"{FORMAT}: use the version that wrote it, or a later one"
        )


def _described(manager: ocp.CheckpointManager, step: int) -> dict[str, Any]:
    """Returns a checkpoint's metadata of its arrays, by path; empty if it has none."""
    found = manager.item_metadata(step)["state"]
    return getattr(found, "tree", found) or {}


def _check_same(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raises ValueError unless a checkpoint holds arrays of these paths, shapes and dtypes."""
    for path in sorted({*stored, *wanted}):
        there, here = (
            f"{x.dtype}{list(x.shape)}" if (x := held.get(path)) is not None else "missing"
            for held in (stored, wanted)
        )
        if there != here:
            raise ValueError(f"{path} is {there} in the checkpoint, and {here} in this run")


def _manager(directory: Path, keep: int) -> ocp.CheckpointManager:
    options = ocp.CheckpointManagerOptions(
        max_to_keep=keep,
        cleanup_tmp_directories=True,
        enable_async_checkpointing=True,
        # With one barrier name, two managers that save at once would wait for each other.
        multiprocessing_options=MultiprocessingOptions(barrier_sync_key_prefix=directory.name),
    )
    handlers = {"state": ocp.StandardCheckpointHandler(), "progress": ocp.JsonCheckpointHandler()}
    return ocp.CheckpointManager(directory, item_handlers=handlers, options=options)


def _detached(leaves: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    # A CPU device uses the host's memory. The carry is donated to the next step, which would
    # overwrite buffers that Orbax still writes.
    on_cpu = jax.default_backend() == "cpu"
    return {path: jnp.copy(x) if on_cpu else x for path, x in leaves.items()}


def _checksums(directory: Path) -> dict[str, str]:
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def _sign(directory: Path, signature: Path) -> None:
    if jax.process_index() or not directory.is_dir():
        return
    for old in signature.parent.glob(f"{directory.parent.name}-*.json"):
        if not (directory.parent / old.stem.rpartition("-")[2]).exists():
            old.unlink()
    files.write(signature, json.dumps(_checksums(directory), indent=1))


def _verify(directory: Path, signature: Path) -> None:
    # A run that is killed right after a save leaves a good checkpoint without checksums.
    if not signature.is_file():
        return
    expected, actual = json.loads(signature.read_text()), _checksums(directory)
    changed = [name for name in expected if actual.get(name) != expected[name]]
    if changed:
        raise OSError(f"{changed[0]} does not match its checksum")


def _explain(step: Any, root: Path, error: Exception) -> str:
    free = shutil.disk_usage(root).free if root.exists() else 0
    return (
        f"the checkpoint of step {step} could not be written to {root} "
        f"({free / 2**20:.0f} MiB free): {_first_line(error)}. "
        "Earlier checkpoints are intact"
    )


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0][:200]
