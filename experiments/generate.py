"""Shows what a trained system does: `python -m experiments.generate --workdir=DIR ...`.

A generative model makes images, of a class if it is conditional. A language model continues a text.
A classifier predicts the classes of image files or of a split:

    python -m experiments.generate --workdir=DIR --num=64 --seed=0 [--class=3] [--save_arrays]
    python -m experiments.generate --workdir=DIR --prompt="ROMEO:" --length=500 --temperature=0.8
    python -m experiments.generate --workdir=DIR --images=a.png --images=b.jpg
    python -m experiments.generate --workdir=DIR --split=test --num=16

`--output` asks for another of the task's outputs, such as "reconstruct" with `--split=test`. The
program writes to `DIR/generated/`. The same seed makes the same output on any number of devices.
`--config.task.sampler.steps=20` changes a value of the run's config; docs/config.md lists every
key. The program refuses a flag that the output does not read.

The program uses the running averages of the params where the run kept them; `--noema` uses the
params themselves.
"""

from collections.abc import Callable
from pathlib import Path

from absl import flags

from experiments import command_line
from library.config import ConfigError, nearest

_WORKDIR = flags.DEFINE_string("workdir", None, "Directory of the run.")
_WHICH = flags.DEFINE_enum("which", "latest", ["latest", "best"], "The checkpoint to use.")
_EMA = flags.DEFINE_bool("ema", True, "Use the running averages, if the run kept them.")
_OUTPUT = flags.DEFINE_string("output", None, "What to make: one of the task's outputs.")
_IMAGES = flags.DEFINE_multi_string("images", [], "Image file to classify; may be repeated.")
_SPLIT = flags.DEFINE_string("split", None, "Split to draw examples from.")
_NUM = flags.DEFINE_integer(
    "num", 16, "Images, examples or texts (by default, a text for each prompt).", lower_bound=1
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
    """Restores the run, and makes what was asked for."""
    folder = command_line.directory("workdir", _WORKDIR.value)

    from library.run import session

    # Nothing is evaluated: what judges the run need not be there.
    values = command_line.recorded(folder) | {"evaluate": {}, "checkpoint": {}, "reported": None}
    trained = session.restore(values, folder, which=_WHICH.value, check=_check)
    output, make = _chosen(trained.plan)
    return make(trained, output, folder / "generated", **command_line.values_for(make))


def _chosen(plan) -> tuple[str, Callable]:
    """Returns the output to ask the task for, and the function that makes something of it."""
    predict = _predict_files if _IMAGES.value else _predict
    known = {"probabilities": predict, "generate": _write, "sample": _draw}
    output = _OUTPUT.value or next((o for o in known if o in plan.task.outputs), "sample")
    return output, known.get(output, _draw) if output in plan.task.outputs else _draw


def _check(plan) -> None:
    """Refuses an output that there is not, and flags that it does not read."""
    output, make = _chosen(plan)
    name = plan.recipe.task["name"]
    if output not in plan.task.outputs:
        valid = nearest(output, plan.task.outputs)
        if _OUTPUT.value is None:
            raise ConfigError(f"task {name!r} makes nothing by itself: name an --output {valid}")
        raise ConfigError(f"task {name!r} has no output {output!r}: {valid}")
    files = " and --images" if make is _predict_files else ""
    what = f"output {output!r} of task {name!r}{files}"
    command_line.refuse_unread(what, command_line.flags_of(make))


def _predict(trained, output: str, folder: Path, *, split, num, seed, ema) -> int:
    from library.apps import predictions

    examples = predictions.from_split(trained, split or "test", num, seed)
    return _predicted(trained, examples, folder, ema)


def _predict_files(trained, output: str, folder: Path, *, images, ema) -> int:
    from library.apps import predictions

    examples = predictions.from_files(trained, command_line.image_files(images))
    return _predicted(trained, examples, folder, ema)


def _predicted(trained, examples, folder: Path, ema: bool) -> int:
    from library.apps import predictions

    found = predictions.predict(trained, examples, ema=ema)
    for line in predictions.lines(found):
        print(line)
    print(predictions.write(found, folder))
    return 0


def _draw(trained, output: str, folder: Path, *, num, seed, ema, split, class_, save_arrays) -> int:
    from library.apps import generation

    request = generation.Request(num, seed, ema)
    made = generation.images(trained, request, output=output, split=split, label=class_)
    name = output if class_ is None else f"{output}_{class_}"
    print(generation.write_images(made, folder, name, save_arrays=save_arrays))
    return 0


def _write(
    trained,
    output: str,
    folder: Path,
    *,
    num,
    seed,
    ema,
    prompt,
    length,
    temperature,
    top_k,
    top_p,
) -> int:
    from library.apps import generation

    prompts = tuple(prompt or ["\n"])
    num = num if flags.FLAGS["num"].present else len(prompts)
    made = generation.texts(
        trained,
        generation.Request(num, seed, ema),
        prompt=prompts,
        length=length or trained.plan.dataset.context,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
    )
    print(f"\n{'-' * 79}\n".join(made))
    print(f"\n{generation.write_texts(made, folder)}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
