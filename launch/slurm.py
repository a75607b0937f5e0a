"""Slurm: one batch script for each job, an array for a sweep, requeued when the job stops.

Slurm sends SIGTERM before the time limit (`--signal`) and when it preempts a job. The program saves
and exits with 75, and the script puts the job back into the queue. The run then resumes.
"""

import re
import shlex
import subprocess
from collections.abc import Sequence
from typing import NamedTuple

from launch.job import Job, shown
from library.config import ConfigError
from library.parallel import processes

_TIME = re.compile(r"(\d+-)?\d+(:\d\d){0,2}")


class Options(NamedTuple):
    """The request to Slurm.

    Attributes:
      nodes: the nodes of each run.
      gpus_per_node: the GPUs of each node, one process for each; 0 for processes without GPUs.
      processes_per_node: the processes of a node without GPUs.
      cpus_per_process: the cores of each process, which also load data; 0 is the partition's
        default, which is often one.
      time: the limit, "HH:MM:SS" or "D-HH:MM:SS"; by default the partition's.
      partition: the queue.
      warning: the seconds before the limit when the program is asked to save.
      at_once: number of runs of a sweep at the same time; 0 is all.
      directives: more lines after `#SBATCH --`, such as account=NAME.
      setup: a line of shell before the program, such as one that loads modules.
    """

    nodes: int = 1
    gpus_per_node: int = 0
    processes_per_node: int = 1
    cpus_per_process: int = 0
    time: str | None = None
    partition: str | None = None
    warning: int = 120
    at_once: int = 0
    directives: tuple[str, ...] = ()
    setup: str = ""


def script(job: Job, options: Options, folder: str, logs: str) -> str:
    """Returns the batch script of a job.

    Args:
      job: the job; several runs become an array.
      options: the request.
      folder: the root of the repository, where the programs run.
      logs: the folder of the output.

    Raises:
      ConfigError: the time is not in a form of Slurm.
    """
    if options.time is not None and not _TIME.fullmatch(options.time):
        raise ConfigError(f"--time={options.time!r}: valid are MM, HH:MM:SS and D-HH:MM:SS")
    lines = ["#!/bin/bash"]
    lines += [f"#SBATCH --{line}" for line in _directives(job, options, logs)]
    lines += [f"cd {shlex.quote(folder)} || exit 1"]
    lines += [options.setup] if options.setup else []
    if options.cpus_per_process:
        # Since version 22.05 srun no longer takes the number of cores from the job.
        lines += [f"export SRUN_CPUS_PER_TASK={options.cpus_per_process}"]
    lines += _program(job)
    lines += [
        "code=$?",
        f'if [ "$code" -eq {processes.STOPPED} ]; then',
        "  # Saved, not finished: back into the queue under the same number.",
        '  scontrol requeue "$SLURM_JOB_ID" && exit 0',
        "fi",
        'exit "$code"',
    ]
    return "\n".join(lines) + "\n"


def submit(text: str) -> str:
    """Submits a script with sbatch and returns the job's number.

    Raises:
      ConfigError: there is no sbatch here, or it refuses the script, with its reason.
    """
    try:
        done = subprocess.run(
            ["sbatch", "--parsable"], input=text, capture_output=True, text=True, check=True
        )
    except FileNotFoundError:
        raise ConfigError("there is no sbatch here: run this on a login node of Slurm") from None
    except subprocess.CalledProcessError as error:
        raise ConfigError(f"sbatch refused the job: {error.stderr.strip()}") from None
    return done.stdout.strip().partition(";")[0]


def _directives(job: Job, options: Options, logs: str) -> Sequence[str]:
    per_node = options.gpus_per_node or options.processes_per_node
    lines = [
        f"job-name={job.name}",
        f"nodes={options.nodes}",
        f"ntasks-per-node={per_node}",
        f"output={logs}/%x-{'%A_%a' if len(job.runs) > 1 else '%j'}.out",
        "open-mode=append",
        "requeue",
        f"signal=TERM@{options.warning}",
    ]
    if options.gpus_per_node:
        lines.append(f"gpus-per-node={options.gpus_per_node}")
    if options.cpus_per_process:
        lines.append(f"cpus-per-task={options.cpus_per_process}")
    if options.time:
        lines.append(f"time={options.time}")
    if options.partition:
        lines.append(f"partition={options.partition}")
    if len(job.runs) > 1:
        bound = f"%{options.at_once}" if options.at_once else ""
        lines.append(f"array=0-{len(job.runs) - 1}{bound}")
    return [*lines, *options.directives]


def _program(job: Job) -> list[str]:
    joined = [f"export {processes.CLUSTER}=slurm"] if job.processes > 1 else []
    # Not --kill-on-bad-exit: processes that stop together do not leave at the same moment.
    srun = "srun --kill-on-bad-exit=0 --wait=60"
    if len(job.runs) == 1:
        return [*joined, f"{srun} {shown(job.runs[0].command)}"]
    cases = [f"  {i}) {srun} {shown(run.command)} ;;" for i, run in enumerate(job.runs)]
    return [*joined, 'case "$SLURM_ARRAY_TASK_ID" in', *cases, "esac"]
