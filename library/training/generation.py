"""What `generate` shows of a classifier: its most probable classes for given images."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from library.config import ConfigError
from library.data import pipeline
from library.data.sources import Source
from library.reporting import figures
from library.training.session import Trained
from library.training.workdir import write_json


class Examples(NamedTuple):
    """Preprocessed examples, and what to call each."""

    loaded: list[dict[str, np.ndarray]]
    names: list[str]


class Predictions(NamedTuple):
    """Images `(n, h, w, c)` uint8, names, class probabilities `(n, k)` and class names."""

    images: np.ndarray
    names: list[str]
    probabilities: np.ndarray
    label_names: list[str]


def from_files(trained: Trained, paths: Sequence[Path]) -> Examples:
    """Loads image files as the run's evaluation loads its images.

    Raises:
      ConfigError: a file does not exist.
      CorruptExample: a file is no image.
    """
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        raise ConfigError(f"no such image file: {', '.join(missing)}")
    records = [{"image": path.read_bytes()} for path in paths]
    source = Source(records, trained.plan.label_names, lambda i: str(paths[i]))
    loader = trained.plan.loader._replace(
        source=source, preprocess=trained.plan.preprocess["test"], on_corrupt="stop"
    )
    blanks = {k: v for k, v in loader.blank.items() if k != "image"}
    loaded = [{**blanks, **loader.load(i, i)} for i in range(len(paths))]
    return Examples(loaded, [path.name for path in paths])


def from_split(trained: Trained, split: str, num: int, seed: int) -> Examples:
    """Draws `num` examples of a split, without repetition.

    Raises:
      ConfigError: the split has fewer.
    """
    loader = trained.feed.loader(split)
    size = len(loader.source.records)
    if num > size:
        raise ConfigError(f"--num={num}: split {split!r} has {size} examples")
    rows = pipeline.permutation(seed, 0, size)[:num]
    loaded = [loader.load(i, int(row)) for i, row in enumerate(rows)]
    return Examples(loaded, [f"{split}[{row}]" for row in rows])


def predict(trained: Trained, examples: Examples) -> Predictions:
    """Returns the class probabilities of examples."""
    output = trained.plan.task.outputs["probabilities"]

    def run(state, batch, key):
        return {"probabilities": output(state, batch, key)}

    collect = trained.feed.context().collect(run)
    found = [
        collect(trained.state, trained.plan.strategy.put(batch))["probabilities"]
        for batch in _batches(examples.loaded, trained.plan.strategy.batch_shards)
    ]
    probabilities = np.concatenate(found)[: len(examples.loaded)]
    names = trained.plan.label_names or [str(i) for i in range(probabilities.shape[-1])]
    images = np.stack([example["image"] for example in examples.loaded])
    return Predictions(images, examples.names, probabilities, list(names))


def lines(predictions: Predictions) -> Iterator[str]:
    """Renders one line an example: its five most probable classes."""
    for name, top in zip(predictions.names, _top5(predictions)):
        yield f"{name}: " + ", ".join(f"{label} {share:.1%}" for label, share in top)


def write(predictions: Predictions, folder: Path) -> Path:
    """Writes predictions.json and predictions.png; returns the picture's path."""
    folder.mkdir(exist_ok=True)
    table = {name: dict(top) for name, top in zip(predictions.names, _top5(predictions))}
    write_json(folder / "predictions.json", table)
    figure = figures.image_grid(
        predictions.images,
        probabilities=predictions.probabilities,
        label_names=predictions.label_names,
        columns=4,
    )
    return figures.save(figure, folder / "predictions.png")


def _top5(predictions: Predictions) -> list[list[tuple[str, float]]]:
    order = np.argsort(-predictions.probabilities, axis=-1)[:, :5]
    return [
        [(predictions.label_names[k], float(p[k])) for k in top]
        for p, top in zip(predictions.probabilities, order)
    ]


def _batches(examples: list[dict], shards: int) -> Iterator[dict[str, np.ndarray]]:
    # One size for all, a multiple of the devices: one compilation.
    size = shards * max(1, min(64, -(-len(examples) // shards)))
    for start in range(0, len(examples), size):
        part = examples[start : start + size]
        part = part + [part[-1]] * (size - len(part))
        yield jax.tree.map(lambda *x: np.stack(x), *part)
