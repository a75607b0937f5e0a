"""Shows what a trained system does: `python -m experiments.generate --workdir=DIR ...`.

For a classifier, predictions on image files or on a split:

    python -m experiments.generate --workdir=DIR --images=a.png,b.jpg
    python -m experiments.generate --workdir=DIR --split=test --num=16 --seed=1

It prints the five most probable classes of each, and writes them with an image grid to
`DIR/generated/`.
"""

from pathlib import Path

from absl import flags

from experiments import command_line

_WORKDIR = flags.DEFINE_string("workdir", None, "Directory of the run.")
_WHICH = flags.DEFINE_enum("which", "latest", ["latest", "best"], "The checkpoint to use.")
_IMAGES = flags.DEFINE_list("images", [], "Image files.")
_SPLIT = flags.DEFINE_string("split", "test", "Split to draw examples from.")
_NUM = flags.DEFINE_integer("num", 16, "Examples to draw.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the draw.")


def main() -> int:
    """Predicts, prints a table and writes predictions.json and predictions.png."""
    folder = command_line.directory("workdir", _WORKDIR.value)

    from library.config import ConfigError
    from library.training import generation, session

    trained = session.restore(command_line.recorded(folder), folder, which=_WHICH.value)
    if "probabilities" not in trained.plan.task.outputs:
        outputs = ", ".join(trained.plan.task.outputs)
        raise ConfigError(f"this task has no output that generate can show (it has: {outputs})")
    images = [Path(name).expanduser() for name in _IMAGES.value]
    if images:
        examples = generation.from_files(trained, images)
    else:
        examples = generation.from_split(trained, _SPLIT.value, _NUM.value, _SEED.value)
    predictions = generation.predict(trained, examples)
    for line in generation.lines(predictions):
        print(line)
    print(generation.write(predictions, folder / "generated"))
    return 0


if __name__ == "__main__":
    command_line.run(main)
