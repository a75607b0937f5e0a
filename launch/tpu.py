"""Google Cloud TPU: queued resources, one virtual machine for each host of the slice.

`gcloud` asks for the slice and then runs the program on all of its hosts. JAX finds the other hosts
in the metadata of the machines. If the cloud takes a slice away, the same command asks for another
one, and the run resumes from its last checkpoint (in a bucket, or on a persistent disk).
"""

import shlex
import subprocess
import time
from typing import NamedTuple

from launch.job import Job, Run, shown
from library.config import ConfigError
from library.parallel import processes

_GCLOUD = ("gcloud", "compute", "tpus")
# States of a queued resource that never becomes ACTIVE.
_LOST = ("FAILED", "SUSPENDING", "SUSPENDED", "DELETING")


class Options(NamedTuple):
    """The request to Cloud TPU.

    Attributes:
      accelerator: the type of the slice, such as "v5litepod-16".
      zone: the zone, such as "us-central1-a".
      runtime: the software of the machines, such as "v2-alpha-tpuv5-lite".
      project: the project of the cloud; by default that of gcloud.
      folder: the folder of the repository on the machines.
      spot: whether to take capacity that the cloud may take away.
      setup: a line of shell before the program, such as one that installs what it needs.
    """

    accelerator: str
    zone: str
    runtime: str
    project: str | None = None
    folder: str = "compendium"
    spot: bool = False
    setup: str = ""


class Slice(NamedTuple):
    """The commands of one run.

    Attributes:
      create: asks for the slice.
      state: prints the state of the request.
      delete: gives the slice back.
      program: runs on all hosts of the slice.
    """

    create: tuple[str, ...]
    state: tuple[str, ...]
    delete: tuple[str, ...]
    program: tuple[str, ...]


def slices(job: Job, options: Options) -> list[Slice]:
    """Returns the commands of each run of a job.

    Raises:
      ConfigError: no accelerator, zone or runtime is named.
    """
    for flag in ("accelerator", "zone", "runtime"):
        if not getattr(options, flag):
            raise ConfigError(f"--on=tpu needs --{flag}")
    several = len(job.runs) > 1
    names = [f"{job.name}-{i}" if several else job.name for i in range(len(job.runs))]
    return [_slice(_label(name), run, options) for name, run in zip(names, job.runs)]


def preview(found: list[Slice]) -> str:
    """Returns the commands of `run`, in order."""
    lines = [shown(command) for each in found for command in (each.create, each.program)]
    return "\n".join(lines) + "\n"


def run(found: list[Slice], *, every: float = 30, say=print) -> int:
    """Asks for each slice, waits for it, runs its program and gives it back.

    Args:
      found: the slices, which run one after the other.
      every: the seconds between two requests for the state.
      say: shows a line.

    Returns:
      0, or the first exit code that is not 0; the slice of that run is kept.

    Raises:
      ConfigError: there is no gcloud here, or it refuses.
    """
    for each in found:
        if _state(each) in ("", *_LOST):
            _ask(each)
        while (state := _state(each)) != "ACTIVE":
            if state in ("", *_LOST):
                raise ConfigError(f"the slice is {state or 'gone'}: run the same command again")
            say(f"waiting for the slice: {state}")
            time.sleep(every)
        code = subprocess.run(each.program).returncode
        if code:
            return code
        _gcloud(each.delete)
    return 0


def _ask(each: Slice) -> None:
    if _state(each):
        _gcloud(each.delete)
    _gcloud(each.create)


def _state(each: Slice) -> str:
    """Returns the state of a request, "" if there is none."""
    try:
        done = subprocess.run(each.state, capture_output=True, text=True)
    except FileNotFoundError:
        raise ConfigError("there is no gcloud here: install Google Cloud's command line") from None
    if done.returncode and "NOT_FOUND" not in done.stderr:
        raise ConfigError(f"gcloud refused: {done.stderr.strip()}")
    return done.stdout.strip()


def _gcloud(command: tuple[str, ...]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise ConfigError(f"gcloud refused: {done.stderr.strip()}")


def _slice(name: str, run: Run, options: Options) -> Slice:
    place = [f"--zone={options.zone}"]
    place += [f"--project={options.project}"] if options.project else []
    queued = (*_GCLOUD, "queued-resources")
    steps = [f"cd {shlex.quote(options.folder)}", options.setup]
    steps.append(f"{processes.CLUSTER}=cloud_tpu {shown(run.command)}")
    request = [
        f"--node-id={name}",
        f"--accelerator-type={options.accelerator}",
        f"--runtime-version={options.runtime}",
        *(["--spot"] if options.spot else []),
    ]
    told = " && ".join(filter(None, steps))
    return Slice(
        create=(*queued, "create", name, *request, *place),
        state=(*queued, "describe", name, "--format=value(state.state)", *place),
        delete=(*queued, "delete", name, "--force", "--quiet", *place),
        program=(*_GCLOUD, "tpu-vm", "ssh", name, "--worker=all", f"--command={told}", *place),
    )


def _label(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name.lower()).strip("-")
