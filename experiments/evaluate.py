"""Evaluates a run: `python -m experiments.evaluate --workdir=DIR [--split=train]`.

The evaluators are those of the run's config, on its final params and on their running averages
where it has them. `--config.key=value` overrides what the evaluation reads, such as
`--config.dataset.eval_batch_size=256`.
"""

from pathlib import Path

from absl import flags

from experiments import command_line

_WORKDIR = flags.DEFINE_string("workdir", None, "Directory of the run.")
_WHICH = flags.DEFINE_enum("which", "latest", ["latest", "best"], "The checkpoint to evaluate.")
_SPLIT = flags.DEFINE_string("split", None, "Evaluate this split instead of the config's.")


def main() -> int:
    """Prints every metric, and writes them to evaluation-<which>.json in the workdir."""
    from library.config import ConfigError

    if _WORKDIR.value is None:
        raise ConfigError("--workdir=DIR says which run to evaluate")
    from library.training import session, workdir

    folder = Path(_WORKDIR.value)
    values = workdir.read_config(folder)
    for key, text in command_line.overrides().items():
        command_line.override(values, key, text)
    if _SPLIT.value:
        for spec in values.get("evaluate", {}).values():
            spec["split"] = _SPLIT.value
    step, metrics = session.evaluate(values, folder, which=_WHICH.value)
    for name, value in metrics.items():
        print(f"{name:40s} {value:.6f}")
    workdir.write_json(folder / f"evaluation-{_WHICH.value}.json", {"step": step, **metrics})
    return 0


if __name__ == "__main__":
    command_line.run(main)
