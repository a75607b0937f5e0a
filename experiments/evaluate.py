"""Evaluates a run: `python -m experiments.evaluate --workdir=DIR [--split=train]`.

It runs the evaluators of the run's config on the params and, if the run keeps them, on the running
averages. `--config.KEY=VALUE` overrides a value that the evaluation reads, such as
`--config.dataset.eval_batch_size=256`; docs/config.md lists every key.
"""

import re

from absl import flags

from experiments import command_line

_WORKDIR = flags.DEFINE_string("workdir", None, "Directory of the run.")
_WHICH = flags.DEFINE_enum("which", "latest", ["latest", "best"], "The checkpoint to evaluate.")
_SPLIT = flags.DEFINE_string("split", None, "Evaluate this split instead of the config's.")


def main() -> int:
    """Prints every metric, and writes them to evaluation-WHICH[-SPLIT].json in the workdir."""
    folder = command_line.directory("workdir", _WORKDIR.value)

    from library.run import session, workdir

    values = command_line.recorded(folder)
    # These sections name metrics of the run's own evaluators, which may not be measured here.
    values |= {"checkpoint": {}, "reported": None}
    name = f"evaluation-{_WHICH.value}"
    if _SPLIT.value:
        values["evaluate"] = _on_split(values.get("evaluate", {}), _SPLIT.value)
        name += "-" + re.sub(r"[^\w.-]+", "_", _SPLIT.value).strip("_")
    step, metrics = session.evaluate(values, folder, which=_WHICH.value)
    print(f"step {step:,}")
    width = max(map(len, metrics), default=0)
    for metric, value in metrics.items():
        print(f"{metric:{width}} {value:.6f}")
    workdir.write_json(folder / f"{name}.json", {"step": step, **metrics})
    print(folder / f"{name}.json")
    return 0


def _on_split(evaluators: dict, split: str) -> dict:
    """Names evaluators after the split that they measure here."""
    # "train/..." is reserved for metrics of training, on augmented examples and with dropout.
    shown, only = "train_split" if split == "train" else split, len(evaluators) == 1
    return {
        shown if only else f"{name}_on_{shown}": {**spec, "split": split}
        for name, spec in evaluators.items()
    }


if __name__ == "__main__":
    command_line.run(main)
