"""Starts a program on one or many machines: `python -m launch --on=PLACE ... -- <program flags>`.

    python -m launch --on=local --processes=4 -- --config=configs/resnet/cifar10.py
    python -m launch --on=slurm --nodes=4 --gpus_per_node=8 --time=24:00:00 -- --config=...
    python -m launch --on=kubernetes --nodes=4 --gpus_per_node=8 --image=IMAGE -- --config=...
    python -m launch --on=tpu --accelerator=v5litepod-16 --zone=ZONE --runtime=VERSION -- ...

`python -m experiments.train` takes the arguments after `--`; docs/config.md lists every key of a
config. `--program=evaluate` starts another program.
`--sweep="optimizer.learning_rate=0.1,0.03;seed=0,1"` makes one run for each combination, each with
a workdir below `--root`: an array job under Slurm, some runs at a time on this machine. `--dry_run`
shows what would be submitted.

The exit code is that of the program; with several runs, that of the first run that failed.
"""

import re
import sys
from pathlib import Path

from absl import flags

from experiments import command_line
from launch import job, kubernetes, local, slurm, sweep, tpu
from library.config import ConfigError, check_choice

_PROGRAMS = ("train", "evaluate", "generate")
# The flags that each place reads, beside those that all places read.
_READ = {
    "local": ("processes", "at_once"),
    "slurm": (
        *("nodes", "gpus_per_node", "processes", "cpus_per_process", "time", "partition"),
        *("at_once", "warning", "setup", "directive"),
    ),
    "kubernetes": ("nodes", "gpus_per_node", "image", "claim", "namespace", "restarts"),
    "tpu": ("accelerator", "zone", "runtime", "project", "spot", "folder", "setup"),
}


_ON = flags.DEFINE_string("on", "local", f"Where to run: {', '.join(_READ)}.")
_PROGRAM = flags.DEFINE_string("program", "train", f"What to run: {', '.join(_PROGRAMS)}.")
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "Show what would be submitted, and stop.")
_NAME = flags.DEFINE_string("name", None, "Name of the job; by default that of the config.")
_SWEEP = flags.DEFINE_string("sweep", None, 'Runs to make, "KEY=VALUE,VALUE;KEY=VALUE,...".')
_SWEEP_ROOT = flags.DEFINE_string("root", None, "Folder of a sweep's workdirs; runs/ by default.")
_AT_ONCE = flags.DEFINE_integer("at_once", 1, "Runs of a sweep at the same time.", lower_bound=1)
_PROCESSES = flags.DEFINE_integer(
    "processes", 1, "Processes of a run here; under Slurm, on each node without GPUs.", 1
)
_NODES = flags.DEFINE_integer("nodes", 1, "Machines of a run.", lower_bound=1)
_GPUS = flags.DEFINE_integer("gpus_per_node", 0, "GPUs of each machine.", lower_bound=0)
_CPUS = flags.DEFINE_integer("cpus_per_process", 0, "Cores of each process under Slurm.", 0)
_TIME = flags.DEFINE_string("time", None, "Slurm's limit, HH:MM:SS or D-HH:MM:SS.")
_PARTITION = flags.DEFINE_string("partition", None, "Slurm's queue.")
_WARNING = flags.DEFINE_integer("warning", 120, "Seconds before the limit to save and leave.", 1)
_SETUP = flags.DEFINE_string("setup", "", "Line of shell to run before the program.")
_DIRECTIVE = flags.DEFINE_multi_string("directive", [], "Another line after #SBATCH --.")
_IMAGE = flags.DEFINE_string("image", None, "Container image, with this repository in it.")
_CLAIM = flags.DEFINE_string("claim", None, "Persistent volume claim, mounted at /runs.")
_NAMESPACE = flags.DEFINE_string("namespace", "default", "Namespace of the cluster.")
_RESTARTS = flags.DEFINE_integer("restarts", 3, "Restarts of a job that fails.", lower_bound=0)
_ACCELERATOR = flags.DEFINE_string("accelerator", None, "Type of the slice: v5litepod-16.")
_ZONE = flags.DEFINE_string("zone", None, "Zone of the slice: us-central1-a.")
_RUNTIME = flags.DEFINE_string("runtime", None, "Software of the machines: v2-alpha-tpuv5-lite.")
_PROJECT = flags.DEFINE_string("project", None, "Project of the cloud; by default gcloud's own.")
_SPOT = flags.DEFINE_bool("spot", False, "Take capacity that the cloud may take away.")
_FOLDER = flags.DEFINE_string("folder", "compendium", "Folder of this repository on the machines.")


def main() -> int:
    """Submits the job that the flags describe, or shows it."""
    place = _ON.value
    check_choice("place", place, _READ)
    check_choice("program", _PROGRAM.value, _PROGRAMS)
    for flag in sorted({name for names in _READ.values() for name in names}):
        if flags.FLAGS[flag].present and flag not in _READ[place]:
            readers = " and ".join(other for other, names in _READ.items() if flag in names)
            raise ConfigError(f"--{flag} belongs to --on={readers}: --on={place} does not read it")
    return {"local": _local, "slurm": _slurm, "kubernetes": _kubernetes, "tpu": _tpu}[place]()


def _local() -> int:
    asked = _job(sys.executable, _PROCESSES.value)
    if _DRY_RUN.value:
        print(local.preview(asked), end="")
        return 0
    return local.run(asked, at_once=_AT_ONCE.value)


def _slurm() -> int:
    if _GPUS.value and flags.FLAGS["processes"].present:
        raise ConfigError(
            f"--processes={_PROCESSES.value} with --gpus_per_node={_GPUS.value}: every GPU has its "
            "own process; leave out one of the flags"
        )
    options = slurm.Options(
        nodes=_NODES.value,
        gpus_per_node=_GPUS.value,
        processes_per_node=_PROCESSES.value,
        cpus_per_process=_CPUS.value,
        time=_TIME.value,
        partition=_PARTITION.value,
        warning=_WARNING.value,
        at_once=_AT_ONCE.value if flags.FLAGS["at_once"].present else 0,
        directives=tuple(_DIRECTIVE.value),
        setup=_SETUP.value,
    )
    asked = _job(sys.executable, options.nodes * (options.gpus_per_node or _PROCESSES.value))
    logs = Path("runs") / "slurm"
    script = slurm.script(asked, options, folder=str(Path.cwd()), logs=str(logs))
    if _DRY_RUN.value:
        print(script, end="")
        return 0
    # Slurm makes no folders, and a job whose output has no folder fails silently.
    logs.mkdir(parents=True, exist_ok=True)
    print(f"job {slurm.submit(script)}; its output: {logs}")
    return 0


def _kubernetes() -> int:
    options = kubernetes.Options(
        image=_IMAGE.value or "",
        nodes=_NODES.value,
        gpus_per_node=_GPUS.value,
        claim=_CLAIM.value,
        namespace=_NAMESPACE.value,
        restarts=_RESTARTS.value,
    )
    # Files outside the claim are lost with their pod.
    base = "/runs" if options.claim else "runs"
    asked = _job("python", options.nodes, base)
    written = kubernetes.written(kubernetes.manifests(asked, options))
    if _DRY_RUN.value:
        print(written, end="")
        return 0
    print(kubernetes.submit(written), end="")
    return 0


def _tpu() -> int:
    options = tpu.Options(
        accelerator=_ACCELERATOR.value or "",
        zone=_ZONE.value or "",
        runtime=_RUNTIME.value or "",
        project=_PROJECT.value,
        folder=_FOLDER.value,
        spot=_SPOT.value,
        setup=_SETUP.value,
    )
    slices = tpu.slices(_job("python3", 1), options)
    if _DRY_RUN.value:
        print(tpu.preview(slices), end="")
        return 0
    return tpu.run(slices)


def _job(python: str, processes: int, base: str = "runs") -> job.Job:
    """Makes the job of this command line.

    Args:
      python: the interpreter.
      processes: number of processes of each run.
      base: the folder of workdirs, if the command line names none.

    Raises:
      ConfigError: a flag that the program does not take, or a config or swept key that does not
        exist.
    """
    arguments = command_line.words()
    points = sweep.points(_SWEEP.value)
    name = _NAME.value or "-".join(("compendium", _PROGRAM.value))
    if _PROGRAM.value == "train":
        name = _NAME.value or _checked(arguments, points)
    elif _SWEEP.value:
        raise ConfigError(f"--sweep is for runs that train, not for --program={_PROGRAM.value}")
    root = _SWEEP_ROOT.value or f"{base}/{name}"
    named = any(argument.startswith("--workdir") for argument in arguments)
    if base != "runs" and _PROGRAM.value == "train" and not (named or _SWEEP.value):
        arguments = [*arguments, f"--workdir={root}"]
    program = f"experiments.{_PROGRAM.value}"
    return job.Job(name, job.make_runs(program, arguments, points, root, python), processes)


def _checked(arguments: list[str], points: list[sweep.Point]) -> str:
    """Reads the config with the overrides of every run, and returns a name for it.

    Errors that only the data can show appear when the run starts.
    """
    # This import takes seconds, and --help or a wrong flag need not wait for it.
    from library.run import recipe

    config, overrides = command_line.DEFAULT_CONFIG, []
    folder = next((a.partition("=")[2] for a in arguments if a.startswith("--workdir=")), None)
    of_its_own = "--prolong" in arguments and not any(a.startswith("--config=") for a in arguments)
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        if argument == "--prolong":
            continue
        if not equals or not re.fullmatch(r"--(config(\..+)?|workdir|profile)", flag):
            raise ConfigError(
                f"{argument!r} is not a flag of train: valid are --config=PATH, "
                "--config.KEY=VALUE, --workdir=DIR, --prolong and --profile=START:STOP"
            )
        if flag == "--config":
            config = value
        elif flag not in ("--workdir", "--profile"):
            overrides.append((flag, value))
    if of_its_own and folder and not _SWEEP.value:
        # The config is in the workdir, which may be on another machine.
        return re.sub(r"[^\w.-]+", "_", Path(folder).name)
    for point in points:
        given = (*overrides, *(f.split("=", 1) for f in point.overrides))
        changes = {flag.removeprefix("--config."): value for flag, value in given}
        values, path, variant = command_line.load_config(config, changes)
        recipe.read(values)
    parts = (Path(path).parent.name, Path(path).stem, variant)
    return re.sub(r"[^\w.-]+", "_", "-".join(part for part in parts if part))


if __name__ == "__main__":
    command_line.run(main, configurable=False, words=("the program's flags...",))
