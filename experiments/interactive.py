"""For Python and notebooks: train a recipe step by step, and use a finished run.

    from experiments.interactive import load, plan, training

    init, step, batches, evaluate = training(plan("configs/cnn/digits.py"))
    run = load("runs/cnn-digits")

A wrong config, workdir or input is a `ConfigError` with one line, before anything is compiled.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from library import logs
from library.config import ConfigError

if TYPE_CHECKING:
    from library.apps.finished import Finished
    from library.apps.stepwise import Training
    from library.run.plan import Plan

logs.hide_orbax()

__all__ = ["ConfigError", "load", "plan", "training"]


def plan(
    config: str | Path | Mapping[str, Any],
    overrides: Mapping[str, Any] | None = None,
    *,
    devices: Any = None,
) -> "Plan":
    """Builds and checks everything that a run needs. Nothing is compiled or written.

    Args:
      config: a ConfigDict, a dict, or a config file, "PATH[:VARIANT]".
      overrides: values by dotted key, such as `{"optimizer.learning_rate": 0.2}`.
      devices: the devices to run on, by default all.

    Raises:
      ConfigError: the run would not start.
    """
    from experiments import config_files
    from library.apps import dry_run
    from library.run import environment

    changes = config_files.texts(overrides)
    if isinstance(config, (str, Path)):
        values = config_files.load_config(str(config), changes)[0]
    elif isinstance(config, Mapping) or hasattr(config, "to_dict"):
        values = config_files.plain_values(config, changes)
    else:
        raise ConfigError(f"config={config!r}: give a config file's path, a dict or a ConfigDict")
    environment.enable_compile_cache(values.get("compile_cache", "~/.cache/compendium"))
    return dry_run.planned(values, devices)


def training(plan: "Plan") -> "Training":
    """Returns `init`, `step`, `batches` and `evaluate`, the functions that train a plan.

    Args:
      plan: the plan, see `plan`.
    """
    from library.apps import stepwise

    return stepwise.training(plan)


def load(workdir: str | Path, *, which: str = "latest", ema: bool = True) -> "Finished":
    """Restores a run. Its outputs are methods: `load(workdir).logits(images)`.

    Args:
      workdir: the directory of the run, which needs no dataset beside it.
      which: the "latest" or the "best" checkpoint.
      ema: whether to use the running averages if the run has them.

    Raises:
      ConfigError: the directory holds no run, or no such checkpoint.
    """
    from library.apps.finished import Finished
    from library.config import check_choice
    from library.run import session
    from library.run.workdir import read_config

    check_choice("checkpoint", which, ("latest", "best"))
    folder = Path(workdir).expanduser()
    return Finished(session.restore(read_config(folder), folder, which=which), ema=ema)
