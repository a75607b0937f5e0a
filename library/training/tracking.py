"""Weights & Biases, beside the files of the workdir, where it is asked for and there."""

import hashlib
import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax

from library.config import check_choice

# What a run is started with may be named in the config; the rest follows from the workdir.
_KNOWN = ("project", "entity", "name", "group", "tags", "notes", "mode")


def read(asked: Mapping[str, Any] | str) -> dict[str, Any]:
    """Returns the arguments of `wandb.init` that a config gives; a project may stand alone.

    Raises:
      ConfigError: an argument that is not known.
    """
    options = {"project": asked} if isinstance(asked, str) else dict(asked)
    for name in options:
        check_choice("argument of wandb", name, _KNOWN)
    return options


class Tracker:
    """Hands every row of metrics to a run of Weights & Biases; without one, to nobody."""

    def __init__(
        self,
        asked: Mapping[str, Any] | str | None,
        workdir: Path,
        values: Mapping[str, Any],
        warn: Callable[[str], None],
    ):
        """Starts the run, or takes up that of the same workdir.

        Args:
          asked: what `wandb.init` is given, or the project alone; None asks for nothing.
          workdir: of the run.
          values: its config.
          warn: is told why there is none, where there should be.

        Raises:
          ConfigError: as `read`.
        """
        self._run = None
        if asked is None or jax.process_index():
            return
        workdir = Path(workdir).absolute()
        options = {"name": workdir.name, "dir": str(workdir), **read(asked)}
        identifier = hashlib.sha256(str(workdir).encode()).hexdigest()[:16]
        try:
            wandb = importlib.import_module("wandb")
            self._run = wandb.init(
                id=identifier, resume="allow", config=dict(values), reinit=True, **options
            )
        except ImportError:
            warn("wandb is not installed: rows go to metrics.jsonl and TensorBoard alone")
        except Exception as error:
            warn(f"wandb did not start, rows go to metrics.jsonl and TensorBoard alone: {error}")

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Hands over a row."""
        if self._run is not None:
            self._run.log(dict(metrics), step=step)

    def close(self) -> None:
        """Ends the run."""
        if self._run is not None:
            self._run.finish()
            self._run = None
