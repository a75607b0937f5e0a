"""Shows what a trained system does: `python -m experiments.generate --workdir=DIR ...`.

A generative model makes images, by classes if it knows any; a language model goes on writing; a
classifier predicts, on image files or a split:

    python -m experiments.generate --workdir=DIR --num=64 --seed=0 [--class=3] [--save_arrays]
    python -m experiments.generate --workdir=DIR --prompt="ROMEO:" --length=500 --temperature=0.8
    python -m experiments.generate --workdir=DIR --images=a.png,b.jpg
    python -m experiments.generate --workdir=DIR --split=test --num=16

`--output` asks for another of the task's outputs, such as "reconstruct" with `--split=test`. What
was made is written to `DIR/generated/`, and the same seed makes the same again on any number of
devices. `--config.task.sampler.steps=20` changes a setting of the recorded config.
"""

from pathlib import Path

from absl import flags

from experiments import command_line

_WORKDIR = flags.DEFINE_string("workdir", None, "Directory of the run.")
_WHICH = flags.DEFINE_enum("which", "latest", ["latest", "best"], "The checkpoint to use.")
_EMA = flags.DEFINE_bool("ema", True, "Use the running averages, where the run kept them.")
_OUTPUT = flags.DEFINE_string("output", None, "What to make: one of the task's outputs.")
_IMAGES = flags.DEFINE_list("images", [], "Image files to classify.")
_SPLIT = flags.DEFINE_string("split", None, "Split to draw examples from.")
_NUM = flags.DEFINE_integer(
    "num", 16, "Images, examples or texts (by default, a text for each prompt).", lower_bound=1
)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of all that is drawn.", lower_bound=0)
_CLASS = flags.DEFINE_string("class", None, "Class to make images of, by number or name.")
_SAVE_ARRAYS = flags.DEFINE_bool("save_arrays", False, "Write images as an npz file, too.")
_PROMPT = flags.DEFINE_multi_string("prompt", None, "Text to go on from; may be given repeatedly.")
_LENGTH = flags.DEFINE_integer("length", None, "Tokens a text, the prompt among them.")
_TEMPERATURE = flags.DEFINE_float("temperature", 0.8, "Of the text; 0 takes the likeliest token.")
_TOP_K = flags.DEFINE_integer("top_k", 0, "Draw from the k likeliest tokens; 0 from all.")
_TOP_P = flags.DEFINE_float("top_p", 1.0, "Draw from the likeliest tokens of this probability.")


def main() -> int:
    """Restores the run, and makes what was asked for."""
    folder = command_line.directory("workdir", _WORKDIR.value)

    from library.training import session

    # Nothing is evaluated: what judges the run need not be there.
    values = command_line.recorded(folder) | {"evaluate": {}, "checkpoint": {}, "reported": None}
    trained = session.restore(values, folder, which=_WHICH.value)
    shown = {"probabilities": _predict, "generate": _write, "sample": _draw}
    output = _OUTPUT.value or next((o for o in shown if o in trained.plan.task.outputs), "sample")
    return shown.get(output, _draw)(trained, output, folder / "generated")


def _predict(trained, output: str, folder: Path) -> int:
    from library.training import predictions

    paths = [Path(name).expanduser() for name in _IMAGES.value]
    if paths:
        examples = predictions.from_files(trained, paths)
    else:
        split = _SPLIT.value or "test"
        examples = predictions.from_split(trained, split, _NUM.value, _SEED.value)
    found = predictions.predict(trained, examples)
    for line in predictions.lines(found):
        print(line)
    print(predictions.write(found, folder))
    return 0


def _draw(trained, output: str, folder: Path) -> int:
    from library.training import generation

    request = generation.Request(_NUM.value, _SEED.value, _EMA.value)
    label = _CLASS.value
    made = generation.images(trained, request, output=output, split=_SPLIT.value, label=label)
    name = output if label is None else f"{output}_{label}"
    print(generation.write_images(made, folder, name, save_arrays=_SAVE_ARRAYS.value))
    return 0


def _write(trained, output: str, folder: Path) -> int:
    from library.training import generation

    prompts = tuple(_PROMPT.value or ["\n"])
    num = _NUM.value if flags.FLAGS["num"].present else len(prompts)
    made = generation.texts(
        trained,
        generation.Request(num, _SEED.value, _EMA.value),
        prompt=prompts,
        length=_LENGTH.value or trained.plan.dataset.context,
        temperature=_TEMPERATURE.value,
        top_k=_TOP_K.value,
        top_p=_TOP_P.value,
    )
    print(f"\n{'-' * 79}\n".join(made))
    print(f"\n{generation.write_texts(made, folder)}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
