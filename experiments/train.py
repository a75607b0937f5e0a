"""Trains a recipe: `python -m experiments.train --config=PATH[:VARIANT] --workdir=DIR`.

Without flags it trains the default recipe, a small CNN on scikit-learn's handwritten digits.
`--config.KEY=VALUE` overrides any value of the config, such as
`--config.optimizer.learning_rate=0.2`. Run the same command again to continue a stopped run.
"""

import time

_STARTED = time.perf_counter()

from pathlib import Path  # noqa: E402

from absl import flags  # noqa: E402

from experiments import command_line  # noqa: E402

_CONFIG = flags.DEFINE_string("config", command_line.DEFAULT_CONFIG, command_line.CONFIG_HELP)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Directory of the run; by default runs/ and the config's name."
)
_PROFILE = flags.DEFINE_string(
    "profile", None, "START:STOP, steps to trace into profile/ of the workdir, for XProf, Perfetto."
)


def main() -> int:
    """Trains, writes summary.json and the report, and prints the result beside the claim."""
    request = command_line.request(_CONFIG.value)
    workdir = Path(_WORKDIR.value or Path("runs") / request.name).expanduser()

    from library.run import progress, session
    from library.run.clock import Clock
    from library.run.profiling import read_span

    traced = read_span(_PROFILE.value) if _PROFILE.value else None
    console = progress.make_console()
    clock = Clock(_STARTED)
    return session.train(request.values, request.identity, workdir, clock, console, traced)


if __name__ == "__main__":
    command_line.leave_when_asked()
    command_line.run(main)
