"""Export of a whole run as a folder, and its import as a workdir."""

import ast
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from library import files, former_names, trees
from library.apps import exporting_page
from library.apps.importing import check_unused
from library.config import ConfigError
from library.reporting import claims, runs, systems
from library.run import checkpoints, data_record, exported, ownership, restoring
from library.run.checkpoints import Checkpoints
from library.run.recipe import make_plan
from library.run.workdir import open_workdir, read_config, read_identity
from library.task import TrainState

_ROOT = Path(__file__).resolve().parents[2]
_SHOWN = 4


def export_run(workdir: Path, folder: Path, *, which: str = "latest") -> Path:
    """Writes a run as a folder that can be kept, moved, and imported, see `run.exported`.

    Args:
      workdir: the workdir of a run, finished or not.
      folder: the folder to make.
      which: the "latest" or the "best" checkpoint.

    Raises:
      ConfigError: there is no such run or checkpoint, or an error of `exported.write`.
    """
    values = read_config(workdir)
    step, leaves = checkpoints.load(workdir, which=which)
    arrays = exported.learnt(leaves)
    # An imported run keeps the facts of the run that was exported.
    known = exported.facts(workdir) or _facts(workdir, values, step, which)
    record = data_record.read(workdir)
    page = exporting_page.page(values, read_identity(workdir), known, arrays, record)
    return exported.write(workdir, folder, arrays, known, page)


def import_run(folder: Path, workdir: Path, say: Callable[[str], None] = print) -> Path:
    """Makes a workdir of an exported run, which gives the same outputs to the bit.

    The optimizer's state is zeros: the run can be used, and other runs can start from it, but it
    cannot be trained on.

    Args:
      folder: the exported run.
      workdir: the workdir to create; it must not contain another run.
      say: shows a line before a wait for an owner of the workdir that may be dead.

    Raises:
      ConfigError: the folder is no exported run or is damaged, its arrays do not fit its config, or
        the workdir is in use. Nothing is written then.
    """
    folder, workdir = Path(folder).expanduser(), Path(workdir)
    step, leaves = exported.read(folder)
    values = read_config(folder)
    recorded = data_record.of_run(folder, values)
    # The shapes of a state do not depend on how the run was spread over devices.
    alone = {**restoring.without_training(restoring.without_evaluations(values)), "parallel": {}}
    plan = make_plan(alone, devices=jax.devices()[:1], recorded=recorded, trains=False)
    state = _filled(plan.state, leaves, folder)
    check_unused(workdir)
    with ownership.owning(workdir, say):
        check_unused(workdir)
        open_workdir(workdir, values, read_identity(folder))
        if (folder / data_record.FILE).is_file():
            content = (folder / data_record.FILE).read_bytes()
            files.write(workdir / data_record.FILE, content)
        saved = Checkpoints(workdir)
        saved.save(step, {"state": state}, {"exported": str(folder)}, best=False)
        saved.close()
    return workdir


def _filled(shapes: TrainState, leaves: Mapping[str, Any], folder: Path) -> TrainState:
    """Returns the state with these shapes that holds the leaves, and zeros for the optimizer."""
    wanted = exported.learnt({f"state/{path}": x for path, x in trees.flatten(shapes).items()})
    given = exported.learnt(leaves)
    lines = [f"{path} is missing" for path in wanted if path not in given]
    lines += [f"{path} has no place in the model" for path in given if path not in wanted]
    for path in wanted.keys() & given.keys():
        here, there = wanted[path], given[path]
        if (here.shape, here.dtype) != (there.shape, there.dtype):
            here, there = (f"{x.dtype} {tuple(x.shape)}" for x in (here, there))
            lines.append(f"{path} is {there}, and its config makes {here}")
    if lines:
        more = f"; and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
        raise ConfigError(
            f"the arrays of {folder} do not fit its config: {'; '.join(sorted(lines)[:_SHOWN])}"
            f"{more}"
        )
    return trees.map_with_path(
        lambda path, x: jnp.asarray(given[path]) if path in given else jnp.zeros(x.shape, x.dtype),
        shapes,
    )


def _facts(workdir: Path, values: Mapping[str, Any], step: int, which: str) -> dict[str, Any]:
    """Collects what an export states about its run, plain values."""
    identity, summary = read_identity(workdir), {}
    if (workdir / "summary.json").is_file():
        summary = files.read_json(workdir / "summary.json")
    metrics = _metrics(workdir, step)
    claim = values.get("reported") or {}
    result = None
    if claim:
        value = metrics.get(claim["metric"])
        gap = None if value is None else value - claim["value"]
        result = {"metric": claim["metric"], "value": value, "reported": claim["value"]}
        result |= {"source": claim["source"], "gap": gap}
    return {
        "which": which,
        "step": step,
        "finished": bool(summary),
        "metrics": metrics,
        "result": claims.judged(result, identity.get("overrides", ())),
        "system": _system(identity),
        **{key: summary.get(key) for key in ("commit", "dirty", "versions", "device", "wall_time")},
    }


def _metrics(workdir: Path, step: int) -> dict[str, float | None]:
    """Returns the last value of each evaluated metric, and of the loss, up to a step.

    None stands for a value that is not finite.
    """
    found: dict[str, float] = {}
    for row in runs.read_rows(workdir / "metrics.jsonl").rows:
        if row["step"] <= step:
            found |= row
    return {
        name: value if math.isfinite(value) else None
        for name, value in found.items()
        if "/" in name and (not name.startswith("train/") or name == "train/loss")
    }


def _system(identity: Mapping[str, Any]) -> str | None:
    """Returns the system that the docstring of the run's recipe states; None if it states none."""
    path = former_names.config_file(identity.get("path") or "")
    placed = str(identity.get("found", "")).rpartition(", ")[2]
    for file in (Path(placed), _ROOT / path):
        if file.suffix != ".py" or not file.is_file():
            continue
        try:
            doc = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
            (system,) = systems.systems([systems.Recipe(path, doc, (), (), (), ())], ())
        except (ConfigError, SyntaxError, ValueError):
            continue
        return f"{system.name} ({system.paper}): {system.use}"
    return None
