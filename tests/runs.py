"""A small whole run, and what two runs are compared by."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

# Small in everything, with all that a resumed run could lose: dropout, augmentation, batch
# statistics, running averages, moments of the optimizer, and sums that are logged and saved at
# different steps.
TINY = (
    "--config.total=60 steps",
    "--config.dataset.train=train[:500]",
    "--config.dataset.test=test[:100]",
    "--config.dataset.batch_size=16",
    "--config.model.widths=[4, 8]",
    "--config.model.dropout=0.1",
    "--config.ema.decay=0.9",
    "--config.log_every=5 steps",
    "--config.checkpoint.every=15 steps",
    "--config.evaluate.test.every=20 steps",
)


def finished(begin: Callable, folders: Any, *given: object, **options: Any) -> Path:
    """Runs a training program to its end and returns its workdir, in a folder of its own.

    `begin` starts it, given the flags and options; `folders` is pytest's `tmp_path_factory`.
    """
    workdir = folders.mktemp("undisturbed") / "run"
    ended = begin(f"--workdir={workdir}", *given, **options).ended()
    assert ended.code == 0, ended
    return workdir


def outcome(workdir: Path) -> dict:
    """Returns everything about a finished run that does not depend on the clock."""
    summary = json.loads((workdir / "summary.json").read_text())
    steps = {
        which: sorted(int(path.name) for path in (workdir / "checkpoints" / which).iterdir())
        for which in ("latest", "best")
    }
    kept = ("status", "steps", "best", "result", "parameters", "skipped", "state_sha256")
    return {
        **{key: summary[key] for key in kept},
        "metrics": without_rates(summary["metrics"]),
        "rows": [without_rates(row) for row in rows(workdir)],
        "checkpoints": steps,
    }


def rows(workdir: Path) -> list[dict]:
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def without_rates(row: dict) -> dict:
    timed = ("_per_second", "flops_utilization")
    return {k: v for k, v in row.items() if k != "wall_time" and not k.endswith(timed)}


def check_same(workdir: Path, undisturbed: Path) -> None:
    ours, theirs = outcome(workdir), outcome(undisturbed)
    assert ours == theirs
    files = {path.name for path in undisturbed.iterdir() if not path.name.startswith("events")}
    assert {path.name for path in workdir.iterdir() if not path.name.startswith("events")} == files
    for path in undisturbed.glob("*.npz"):
        with np.load(workdir / path.name) as a, np.load(path) as b:
            assert sorted(a) == sorted(b)
            for key in a:
                np.testing.assert_array_equal(a[key], b[key])


def saved_steps(workdir: Path) -> list[int]:
    folder = workdir / "checkpoints" / "latest"
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())
