"""Trains a recipe: `python -m experiments.train --config=PATH[:VARIANT] --workdir=DIR`.

Without flags it trains the default recipe, a small CNN on scikit-learn's handwritten digits.
`--config.KEY=VALUE` overrides any value of the config, such as
`--config.optimizer.learning_rate=0.2`. Run the same command again to continue a stopped run.

`--prolong` goes on with the run of a workdir to a longer total:

    python -m experiments.train --workdir=DIR --prolong --config.total="20 epochs"

Three flags try a recipe. They train nothing and write no workdir:

    python -m experiments.train --config=... --print_config   # the config as it will run
    python -m experiments.train --config=... --dry_run        # the cost of a step
    python -m experiments.train --config=... --debug          # one step, with all shapes
"""

import time

_STARTED = time.perf_counter()

from pathlib import Path  # noqa: E402

from absl import flags  # noqa: E402

from experiments import command_line, config_files  # noqa: E402
from library.config import ConfigError  # noqa: E402

_CONFIG = flags.DEFINE_string("config", command_line.DEFAULT_CONFIG, command_line.CONFIG_HELP)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Directory of the run; by default runs/ and the config's name."
)
_PROFILE = flags.DEFINE_string(
    "profile", None, "START:STOP, steps to trace into profile/ of the workdir, for XProf, Perfetto."
)
_PROLONG = flags.DEFINE_bool(
    "prolong",
    False,
    "Go on with the run in --workdir to a longer --config.total; without --config, its own config.",
)
_PRINT_CONFIG = flags.DEFINE_bool(
    "print_config", False, "Print the config as it will run, as the text of a config file."
)
_DRY_RUN = flags.DEFINE_bool(
    "dry_run", False, "Build and check everything; print params, memory and FLOPs of a step."
)
_DEBUG = flags.DEFINE_bool(
    "debug", False, "Take one step without jit, with NaN checks, and print the shapes of all calls."
)


def main() -> int:
    """Trains, writes summary.json and the report, and prints the result beside the claim."""
    for flag in (_PRINT_CONFIG, _DRY_RUN, _DEBUG):
        if flag.value:
            command_line.refuse_unread(f"--{flag.name}", ("config", flag.name), also=())
            return _try(flag.name, command_line.request(_CONFIG.value))
    request = _longer() if _PROLONG.value else command_line.request(_CONFIG.value)
    workdir = Path(_WORKDIR.value or Path("runs") / request.name).expanduser()

    from library.run import progress, session
    from library.run.clock import Clock
    from library.run.profiling import read_span

    traced = read_span(_PROFILE.value) if _PROFILE.value else None
    console = progress.make_console()
    clock = Clock(_STARTED)
    given = request.values, request.identity, workdir, clock, console, traced
    return session.train(*given, _PROLONG.value)


def _longer() -> command_line.Request:
    """Returns the request to make the run of a workdir longer."""
    if not _WORKDIR.value:
        raise ConfigError("--prolong goes on with a run: name its workdir by --workdir=DIR")
    if flags.FLAGS["config"].present:
        return command_line.request(_CONFIG.value)
    return command_line.request_of(Path(_WORKDIR.value).expanduser())


def _try(how: str, request: command_line.Request) -> int:
    """Tries a recipe without training it: "print_config", "dry_run" or "debug"."""
    from rich.console import Console

    from library.apps import dry_run
    from library.run import recipe

    if how == "print_config":
        recipe.read(request.values)
        print(config_files.written(request.values))
        return 0
    console = Console(soft_wrap=True, highlight=False, markup=False)
    if how == "debug":
        return 0 if dry_run.debug(request.values, console.print) else command_line.FAILED
    console.print(dry_run.table(dry_run.planned(request.values)))
    return 0


if __name__ == "__main__":
    command_line.leave_when_asked()
    command_line.run(main)
