"""Shows what a trained system does: `python -m experiments.generate --workdir=DIR ...`.

A generative model makes images, of a class if it is conditional. A language model continues a text.
A classifier predicts the classes of image files or of a split:

    python -m experiments.generate --workdir=DIR --num=64 --seed=0 [--class=3] [--save_arrays]
    python -m experiments.generate --workdir=DIR --prompt="ROMEO:" --length=500 --temperature=0.8
    python -m experiments.generate --workdir=DIR --images=a.png --images=b.jpg
    python -m experiments.generate --workdir=DIR --split=test --num=16

`--output` names another of the task's outputs, such as "reconstruct" with `--split=test`. Of a
detector, `--output=track --images=FOLDER` follows objects through frames or an animated file. The
program writes to `DIR/generated/`. The same seed makes the same output on any number of devices.
`--config.task.sampler.steps=20` changes a value of the run's config; docs/config.md lists every
key. The file of library/apps/outputs with the output's name processes the output; outputs without a
file are images. The program refuses a flag that the output does not read.

The program uses the running averages of the params if the run kept them; `--noema` uses the params
themselves.
"""

from collections.abc import Callable

from absl import flags

from experiments import command_line
from library.apps import outputs
from library.config import ConfigError, nearest

_WORKDIR = flags.DEFINE_string("workdir", None, "Directory of the run.")
_WHICH = flags.DEFINE_enum("which", "latest", ["latest", "best"], "The checkpoint to use.")
_EMA = flags.DEFINE_bool("ema", True, "Use the running averages, if the run kept them.")
_OUTPUT = flags.DEFINE_string("output", None, "What to make: one of the task's outputs.")
_IMAGES = flags.DEFINE_multi_string("images", [], "Image file as an input; may be repeated.")
_SPLIT = flags.DEFINE_string("split", None, "Split to draw examples from.")
_NUM = flags.DEFINE_integer(
    "num", None, "Images or examples, by default 16, or texts, by default one per prompt.", 1
)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of all random numbers.", 0, command_line.MOST_SEED)
_CLASS = flags.DEFINE_string("class", None, "Class to make images of, by number or name.")
_SAVE_ARRAYS = flags.DEFINE_bool("save_arrays", False, "Write images as an npz file, too.")
_PROMPT = flags.DEFINE_multi_string("prompt", None, "Text to continue; may be repeated.")
_LENGTH = flags.DEFINE_integer("length", None, "Tokens of each text, with its prompt.", 1)
_TEMPERATURE = flags.DEFINE_float("temperature", 0.8, "Temperature; 0 takes the likeliest token.")
_TOP_K = flags.DEFINE_integer("top_k", 0, "Draw from the k likeliest tokens; 0 from all.", 0)
_TOP_P = flags.DEFINE_float("top_p", 1.0, "Draw from the likeliest tokens of this probability.")


def main() -> int:
    """Restores the run, and makes the requested output."""
    folder = command_line.directory("workdir", _WORKDIR.value)

    from library.run import session

    values = command_line.recorded(folder)
    trained = session.restore(values, folder, which=_WHICH.value, check=_check)
    output, make = _chosen(trained.plan)
    given = command_line.values_for(make)
    if "images" in given:
        given["images"] = command_line.image_files(given["images"])
    make(trained, output, folder / "generated", **given)
    return 0


def _chosen(plan) -> tuple[str, Callable]:
    """Returns the name of the requested output, and the function that makes it."""
    usual = next((o for o in outputs.USUAL if o in plan.task.outputs), "sample")
    output = _OUTPUT.value or usual
    return output, outputs.maker(output, files=bool(_IMAGES.value))


def _check(plan) -> None:
    """Refuses an output that does not exist, and flags that the output does not read."""
    output, make = _chosen(plan)
    name = plan.recipe.task["name"]
    if outputs.needed(output) not in plan.task.outputs:
        valid = nearest(output, plan.task.outputs)
        if _OUTPUT.value is None:
            raise ConfigError(f"task {name!r} has no default output: name an --output {valid}")
        raise ConfigError(f"task {name!r} has no output {output!r}: {valid}")
    files = " and --images" if _IMAGES.value and make.__name__ == "of_files" else ""
    what = f"output {output!r} of task {name!r}{files}"
    command_line.refuse_unread(what, command_line.flags_of(make))


# The file of an output may read flags that no other file reads.
command_line.define_flags(*outputs.makers())

if __name__ == "__main__":
    command_line.run(main)
