"""Generation by a trained system: images, or text that continues a prompt."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from library import files, task
from library.config import ConfigError, class_number
from library.data import on_device
from library.evaluation import samples
from library.evaluation.context import Context
from library.reporting import mosaic
from library.run.session import Trained
from library.task import TrainState


class Request(NamedTuple):
    """The settings of a generation.

    Attributes:
      num: number of images, rows of images, or texts.
      seed: seed of all random draws.
      ema: whether to use the running averages if the run has them.
      batch_size: examples per batch; by default the batch size of evaluation, or `num`, rounded up
        to a multiple of the devices, if that is less.
    """

    num: int
    seed: int = 0
    ema: bool = True
    batch_size: int | None = None


def images(
    trained: Trained,
    request: Request,
    *,
    output: str = "sample",
    split: str | None = None,
    label: str | None = None,
) -> np.ndarray:
    """Returns the images that a task makes, uint8 (n, h, w, c), or rows of them (n, k, h, w, c).

    Args:
      trained: the run.
      request: the number of images, and other settings.
      output: the task's output that makes the images.
      split: the split of the output's examples, if it reads any.
      label: the class of all images, by number or name; by default they cycle through the classes.

    Raises:
      ConfigError: there is no such output or class, the output reads no class, a class is given
        although the examples of the split have classes, or a split is given to an output that reads
        no examples.
    """
    make = trained.plan.task.outputs.get(output)
    if split is not None and make is not None and _lacking(trained, make) is None:
        raise ConfigError(f"--split={split}: this system's {output!r} reads no examples")
    context, size = _context(trained, request)
    if label is not None:
        if split is not None:
            raise ConfigError(
                f"--class={label}: the examples of --split={split} have their own classes"
            )
        number = class_of(trained, label, output, f"--class={label}")
        features = {"label": np.full(request.num, number, np.int32)}
        context = context._replace(draws=lambda n, size: trained.feed.draws(n, size, features))
    shown = samples.samples(context, output=output, num=request.num, split=split, batch_size=size)
    return shown(_state(trained, request))[output]


def images_of(
    trained: Trained, request: Request, examples: Sequence[Mapping[str, np.ndarray]], *, output: str
) -> np.ndarray:
    """Returns the images that a task makes from given examples, in the form of `images`.

    Args:
      trained: the run.
      request: the settings; `num` is the number of examples.
      examples: preprocessed examples, with `index`, `row` and `mask`.
      output: the task's output that makes the images.

    Raises:
      ConfigError: as `images`.
    """
    context, size = _context(trained, request)
    strategy = trained.plan.strategy

    def batches(split: str, batch_size: int | None) -> Iterator[Mapping[str, jax.Array]]:
        for start in range(0, len(examples), size):
            part = [*examples[start : start + size]]
            padding = {**part[-1], "mask": np.float32(0)}
            batch = trained.plan.loader.batch([*part, *[padding] * (size - len(part))])
            places = strategy.places(size)
            yield strategy.put({name: values[places] for name, values in batch.items()})

    context = context._replace(batches=batches)
    shown = samples.samples(
        context, output=output, num=len(examples), split="files", batch_size=size
    )
    return shown(_state(trained, request))[output]


def texts(trained: Trained, request: Request, **settings) -> list[str]:
    """Returns texts of a language model; `settings` are the arguments of `samples.text`.

    Raises:
      ConfigError: as `samples.text`.
    """
    context, size = _context(trained, request)
    make = samples.text(context, num=request.num, batch_size=size, **settings)
    return list(map(str, make(_state(trained, request))["text"]))


def write_images(made: np.ndarray, folder: Path, name: str, *, save_arrays: bool) -> Path:
    """Writes NAME.png, and with `save_arrays` NAME.npz with the array `image`.

    Only the first of several processes writes.
    """
    if jax.process_index():
        return folder / f"{name}.png"
    folder.mkdir(exist_ok=True)
    if save_arrays:
        np.savez_compressed(folder / f"{name}.npz", image=made)
    return mosaic.save(made, folder / f"{name}.png")


def write_texts(made: list[str], folder: Path) -> Path:
    """Writes text.txt, with a line of dashes between texts.

    Only the first of several processes writes.
    """
    if jax.process_index():
        return folder / "text.txt"
    return files.write(folder / "text.txt", f"\n{'-' * 79}\n".join(made) + "\n")


def batch_size(trained: Trained, request: Request) -> int:
    """Returns the examples per batch of a generation."""
    shards = trained.plan.strategy.batch_shards
    usual = request.batch_size or trained.plan.dataset.eval_size
    return min(usual, -(-request.num // shards) * shards)


def _context(trained: Trained, request: Request) -> tuple[Context, int]:
    return trained.feed.context(seed=request.seed), batch_size(trained, request)


def _state(trained: Trained, request: Request) -> TrainState:
    return task.learnt(trained.state, averages=request.ema)


def class_of(trained: Trained, label: str, output: str, where: str) -> int:
    """Returns the number of a class that is given by number or name, for an output without inputs.

    Raises:
      ConfigError: there is no such class, or the output reads none. The message starts with
        `where`.
    """
    plan, names = trained.plan, trained.plan.label_names
    if names is None:
        raise ConfigError(f"{where}: {plan.dataset.name} has no classes")
    number = class_number(label, names, where)
    make = plan.task.outputs.get(output)
    # A missing output is refused by `samples`, whose message names the outputs.
    if make is None or _lacking(trained, make) == "label":
        return number
    raise ConfigError(f"{where}: this system's {output!r} reads no class")


def _lacking(trained: Trained, make: Callable[..., Any]) -> str | None:
    """Returns the first feature of examples that an output reads, or None."""
    place = np.arange(1, dtype=np.uint32)
    batch = {"index": place, "row": place, "mask": np.ones(1, np.float32)}
    key = jax.eval_shape(lambda: jax.random.key(0))
    try:
        jax.eval_shape(make, trained.plan.state, on_device.to_float(batch), key)
    except KeyError as missing:
        return str(missing.args[0])
    return None
