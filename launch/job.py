"""The job of a launcher: one program, its flags and its number of processes."""

import shlex
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from launch.sweep import Point
from library.config import ConfigError


class Run(NamedTuple):
    """One run: its name in a sweep (empty without a sweep) and its command line."""

    name: str
    command: tuple[str, ...]


class Job(NamedTuple):
    """A job to submit.

    Attributes:
      name: the name in the scheduler.
      runs: one run, or those of a sweep.
      processes: the processes of each run.
    """

    name: str
    runs: tuple[Run, ...]
    processes: int


def make_runs(
    program: str, arguments: Sequence[str], points: Sequence[Point], root: str, python: str
) -> tuple[Run, ...]:
    """Makes the command of every point of a sweep, each with its own workdir below `root`.

    Args:
      program: a module, "experiments.train".
      arguments: its flags, those after "--".
      points: the points of the sweep, or one without a name.
      root: the folder of the sweep's workdirs.
      python: the interpreter.

    Raises:
      ConfigError: the arguments of a sweep name a single workdir, or override a swept key.
    """
    given = any(a.startswith(("--workdir", "-workdir")) for a in arguments)
    if len(points) > 1 and given:
        raise ConfigError(
            "--workdir names one run: with --sweep, --root=DIR holds a workdir for each run"
        )
    for flag in points[0].overrides:
        key = flag.partition("=")[0]
        if any(a.partition("=")[0] == key for a in arguments):
            raise ConfigError(f"{key} is in --sweep and also after --: leave out one of them")
    runs = []
    for point in points:
        own = [f"--workdir={PurePosixPath(root) / point.name}"] if point.name else []
        command = (python, "-m", program, *arguments, *point.overrides, *own)
        runs.append(Run(point.name, command))
    return tuple(runs)


def shown(command: Sequence[str]) -> str:
    """Returns a command in the syntax of a shell."""
    return shlex.join(command)
