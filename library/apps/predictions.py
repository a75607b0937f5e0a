"""Predictions of a classifier, which `generate` shows: the most probable classes of images."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from library import task, trees
from library.config import ConfigError, nearest
from library.data import folder, pipeline, preprocessing
from library.data.preprocessing import CorruptExample, UnfitExample
from library.data.sources import Source
from library.data.unlabelled import Completed
from library.parallel.strategies import Strategy
from library.reporting import figures, image_figures
from library.run.session import Trained
from library.run.workdir import write_json


class Examples(NamedTuple):
    """Preprocessed examples, their names, and their classes if known."""

    loaded: list[dict[str, np.ndarray]]
    names: list[str]
    labels: list[int] | None = None


class Predictions(NamedTuple):
    """The predictions for n examples.

    Attributes:
      images: `(n, h, w, c)`, uint8.
      names: names of the examples.
      labels: the true classes, or None.
      probabilities: the class probabilities, `(n, k)`.
      label_names: names of the classes.
    """

    images: np.ndarray
    names: list[str]
    labels: list[int] | None
    probabilities: np.ndarray
    label_names: list[str]


def from_files(
    trained: Trained, paths: Sequence[Path], warn: Callable[[str], None] = print
) -> Examples:
    """Loads image files with the preprocessing of the run's evaluation.

    Images are turned by their EXIF orientation, unless the run's `decode` has
    `exif_orientation=False`.

    Args:
      trained: the run.
      paths: image files, or directories, from which all images are taken.
      warn: shows a line on files of a directory that are skipped.

    Raises:
      ConfigError: a file does not exist, cannot be read, is not an image, or has another size than
        the model takes.
    """
    paths, notes = folder.image_files(paths)
    for note in notes:
        warn(note)
    records = folder.ImageFiles(tuple(paths))
    return from_records(trained, records, [str(path) for path in paths], ["image"])


def from_records(
    trained: Trained,
    records: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    given: Sequence[str],
) -> Examples:
    """Preprocesses examples as the run's evaluation does.

    Labels, targets, maps, fields and objects that the examples lack are blank.

    Args:
      trained: the run.
      records: the examples, as the run's dataset has them: images are encoded, or uint8 (h, w, c).
      names: names of the examples, for messages.
      given: the features that the examples have.

    Raises:
      ConfigError: the run's dataset has no such feature, or one cannot be read, or has another
        shape than the model takes.
    """
    kinds = trained.plan.loader.source.kinds
    for name in given:
        if name not in kinds:
            raise ConfigError(f"the examples of this run have no {name!r}: {nearest(name, kinds)}")
    source = Source(Completed(records, kinds), trained.plan.label_names, names.__getitem__)
    # Images of evaluation may have another size than those of training.
    usual = trained.plan.splits.evaluated()
    turned = preprocessing.turning(trained.plan.preprocess["test"], True)
    loader = usual._replace(source=source, preprocess=turned, blank={})
    try:
        read = [loader.read(row, row) for row in range(len(names))]
    except (CorruptExample, UnfitExample) as error:
        raise ConfigError(str(error)) from error
    loaded = []
    for row, (name, example) in enumerate(zip(names, read)):
        fitting = {}
        for key, blank in usual.blank.items():
            if np.shape(example.get(key)) == blank.shape and key in example:
                fitting[key] = example[key]
            elif key in given:
                raise _of_another_shape(name, key, example, blank)
        loaded.append({**usual.blank, **fitting, **pipeline.place(row, row, 1)})
    return Examples(loaded, list(names))


def _of_another_shape(name: str, key: str, example: Mapping[str, Any], usual: Any) -> ConfigError:
    if key not in example:
        return ConfigError(f"{name}: the preprocessing makes no {key} of it")
    found, wanted = ("x".join(map(str, np.shape(x))) for x in (example[key], usual))
    what, order = (name, " (height, width, channels)") if key == "image" else (f"{name}: {key}", "")
    return ConfigError(
        f"{what} is {found} after preprocessing, but the model takes {wanted}{order}"
    )


def from_split(
    trained: Trained, split: str, num: int, seed: int, warn: Callable[[str], None] = print
) -> Examples:
    """Draws `num` examples of a split, without repetition.

    If the run skips examples that it cannot read, other examples replace them.

    Args:
      trained: the run.
      split: the name of the split.
      num: number of examples.
      seed: seed of the draw.
      warn: shows a line on the examples that were skipped.

    Raises:
      ConfigError: the split has fewer examples, or none that can be read.
    """
    loader = trained.feed.loader(split)
    size = len(loader.source.records)
    if num > size:
        raise ConfigError(f"--num={num}: split {split!r} has {size} examples")
    rows, loaded, lost = [], [], []
    for row in map(int, pipeline.permutation(seed, 0, size)):
        if len(loaded) == num:
            break
        example = loader.load(len(loaded), row)
        if example["mask"] > 0:
            rows.append(row)
            loaded.append(example)
        else:
            lost.append(loader.source.describe(row))
    if lost:
        shown = ", ".join(lost[:3]) + (", ..." if len(lost) > 3 else "")
        warn(f"{len(lost)} examples of {split} cannot be read and were skipped: {shown}")
    if not loaded:
        raise ConfigError(f"split {split!r} has no example that can be read")
    known = np.ndim(loader.blank.get("label", [])) == 0
    labels = [int(example["label"]) for example in loaded] if known else None
    return Examples(loaded, [f"{split}[{row}]" for row in rows], labels)


def predict(trained: Trained, examples: Examples, *, ema: bool = True) -> Predictions:
    """Returns the class probabilities of examples.

    Args:
      trained: the run.
      examples: the examples to classify.
      ema: whether to use the running averages if the run has them.
    """
    output = trained.plan.task.outputs["probabilities"]

    def run(state, batch, key):
        return {"probabilities": output(state, batch, key)}

    state = task.learnt(trained.state, averages=ema)
    collect = trained.feed.context().collect(run)
    found = over(trained, functools.partial(collect, state), examples.loaded)
    probabilities = found["probabilities"]
    names = trained.plan.label_names or [str(i) for i in range(probabilities.shape[-1])]
    images = np.stack([example["image"] for example in examples.loaded])
    return Predictions(images, examples.names, examples.labels, probabilities, list(names))


def over(
    trained: Trained,
    function: Callable[[Mapping[str, jax.Array]], Any],
    examples: Sequence[Any],
    size: int = 64,
) -> Any:
    """Returns a function of batches on the devices, over preprocessed examples.

    All batches have one size, a multiple of the devices, so that one compilation is enough.

    Args:
      trained: the run.
      function: batch -> host arrays with a leading example axis.
      examples: the examples, see `Examples.loaded`.
      size: the most examples of a batch for each device.
    """
    strategy, count = trained.plan.strategy, len(examples)
    size = strategy.batch_shards * max(1, min(size, -(-count // strategy.batch_shards)))
    stacked = jax.tree.map(lambda *x: np.stack(x), *examples)
    parts = [
        function(strategy.put(_of_this_process(batch, strategy)))
        for batch in trees.parts(stacked, size)
    ]
    return jax.tree.map(lambda *x: np.concatenate(x)[:count], *parts)


def lines(predictions: Predictions) -> Iterator[str]:
    """Renders one line per example: its class, if known, and its five most probable classes."""
    for i, (name, top) in enumerate(zip(predictions.names, _top5(predictions))):
        if predictions.labels:
            name += f", true class {predictions.label_names[predictions.labels[i]]}"
        yield f"{name}: " + ", ".join(f"{label} {share:.1%}" for label, share in top)


def write(predictions: Predictions, folder: Path) -> Path:
    """Writes predictions.json and predictions.png; returns the picture's path.

    Only the first of several processes writes.
    """
    if jax.process_index():
        return folder / "predictions.png"
    folder.mkdir(exist_ok=True)
    known = predictions.labels or [None] * len(predictions.names)
    table = {
        name: {
            "label": None if label is None else predictions.label_names[label],
            "probabilities": dict(top),
        }
        for name, label, top in zip(predictions.names, known, _top5(predictions))
    }
    write_json(folder / "predictions.json", table)
    figure = image_figures.image_grid(
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


def _of_this_process(batch: dict, strategy: Strategy) -> dict[str, np.ndarray]:
    places = strategy.places(len(batch["index"]))
    return {name: values[places] for name, values in batch.items()}
