"""The objects that a detector finds in image files: a table, and pictures with their boxes."""

import csv
import functools
import io
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from library import files, painting, task
from library.apps import predictions, tiles
from library.config import ConfigError
from library.data import features, folder
from library.data.preprocessing import MAX_PIXELS
from library.run import class_names
from library.run.session import Trained

_COLUMNS = ("image", "class", "confidence", "ymin", "xmin", "ymax", "xmax")
# Texts of ten pixels need so many pixels along the longer side.
_LEGIBLE = 160
# The most images of a batch for each device.
BATCH = 8
# A box in the middle of each image shows where the preprocessing moves it.
_MIDDLE = np.float32([0.4, 0.4, 0.6, 0.6])


class Detected(NamedTuple):
    """What was found in an image file.

    Attributes:
      name: the file's name without its suffix.
      image: uint8 (h, w, c), as the file has it.
      rows: ymin, xmin, ymax, xmax in pixels of the file, confidence and class, the surest first.
    """

    name: str
    image: UInt8[np.ndarray, "h w c"]
    rows: Float[np.ndarray, "m 6"]


def detected(
    trained: Trained, paths: Sequence[Path], *, confidence: float, ema: bool = True
) -> Iterator[Detected]:
    """Finds the objects of image files, with the preprocessing of the run's evaluation.

    Memory holds the images of one batch, which has fewer images if they are large.

    Args:
      trained: a run whose task has the output "detections".
      paths: image files, and directories of them.
      confidence: least confidence of a detection.
      ema: whether to use the running averages if the run has them.

    Raises:
      ConfigError: `confidence` is not in (0, 1), or a file does not exist. When its turn comes: a
        file cannot be used, or the preprocessing leaves out the middle of an image.
    """
    if not 0 < confidence < 1:
        raise ConfigError(f"confidence={confidence}: valid are numbers between 0 and 1")
    found, notes = folder.image_files(paths)
    for note in notes:
        print(note)
    shards = trained.plan.strategy.batch_shards
    size = shards * min(BATCH, -(-len(found) // shards))
    images = tiles.each_decoded(trained, found)
    return _detected(trained, images, size, confidence, computed(trained, ema))


def _detected(trained, images, size, confidence, compute) -> Iterator[Detected]:
    for held in _batches(images, size):
        names, decoded = zip(*held)
        records = [record(trained, image) for image in decoded]
        loaded = predictions.from_records(trained, records, names, [image_input(trained)]).loaded
        # Batches of one size share a program.
        whole = [*loaded, *loaded[-1:] * (size - len(loaded))]
        for name, image, example, rows in zip(names, decoded, loaded, compute(whole)):
            rows = np.asarray(rows[rows[:, 4] >= confidence], np.float64)
            rows[:, :4] = in_file(rows[:, :4], middle(trained, name, example), image.shape[:2])
            yield Detected(name, image, rows)


def _batches(
    images: Iterable[tuple[str, np.ndarray]], most: int
) -> Iterator[list[tuple[str, np.ndarray]]]:
    """Yields the images in lists of at most so many, fewer if they have MAX_PIXELS together."""
    held, pixels = [], 0
    for name, image in images:
        held.append((name, image))
        pixels += math.prod(image.shape[:2])
        if len(held) == most or pixels >= MAX_PIXELS:
            yield held
            held, pixels = [], 0
    if held:
        yield held


def computed(trained: Trained, ema: bool) -> Callable[[Sequence[Any]], np.ndarray]:
    """Returns a function from preprocessed examples to their detections, (n, k, 6)."""
    output = trained.plan.task.outputs["detections"]

    def run(state, batch, key):
        return {"detections": output(state, batch, key)}

    state = task.learnt(trained.state, averages=ema)
    function = functools.partial(trained.feed.context().collect(run), state)
    return lambda loaded: predictions.over(trained, function, loaded, BATCH)["detections"]


def names_of_classes(trained: Trained) -> Sequence[str]:
    """Returns the names of the detector's classes, their numbers if they have none."""
    return trained.plan.label_names or [str(i) for i in range(1000)]


def image_input(trained: Trained) -> str:
    """Returns the name of the feature that a detector takes for its image."""
    return (trained.plan.recipe.task.get("inputs") or ["image"])[0]


def _target(trained: Trained) -> str:
    return trained.plan.recipe.task.get("target") or "boxes"


def record(trained: Trained, image: np.ndarray | bytes) -> dict[str, Any]:
    """Returns an example with one object in the middle of the image, which may be encoded."""
    kinds, target = trained.plan.loader.source.kinds, _target(trained)
    beside = dict.fromkeys(features.companions(target, kinds, kinds), np.zeros(1, np.int32))
    plan = trained.plan
    kept = class_names.kept(plan.recipe.preprocess, plan.recipe.task, plan.loader.blank)
    label = {f"{target}_label": np.array([kept[0] if kept else 0], np.int32)}
    return {image_input(trained): image, target: _MIDDLE[None], **beside, **label}


def middle(trained: Trained, name: str, example: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns where the preprocessing moved the object of `record`, as shares of what it made.

    Raises:
      ConfigError: the object is no longer in the image.
    """
    target = _target(trained)
    if not example[f"{target}_mask"][0] > 0:
        raise ConfigError(f"{name}: the preprocessing of this run leaves out the image's middle")
    return np.asarray(example[target][0], np.float64)


def in_file(
    boxes: Float[np.ndarray, "m 4"], middle: Float[np.ndarray, " 4"], sides: tuple[int, int]
) -> Float[np.ndarray, "m 4"]:
    """Returns boxes in pixels of the file, of boxes as shares of the preprocessed image.

    Args:
      boxes: ymin, xmin, ymax, xmax.
      middle: see `middle`.
      sides: height and width of the file.
    """
    corners = boxes.reshape(-1, 2, 2)
    share = (corners - middle[:2]) / (middle[2:] - middle[:2])
    whole = _MIDDLE[:2] + share * (_MIDDLE[2:] - _MIDDLE[:2])
    return (np.clip(whole, 0, 1) * sides).reshape(-1, 4)


def write(
    found: Iterable[Detected],
    target: Path,
    names: Sequence[str],
    say: Callable[[object], None] = print,
) -> None:
    """Writes a picture NAME_detections.png of each image, and at the end detections.csv.

    Only the first of several processes writes.

    Args:
      found: the detections; those of one image at a time are taken.
      target: the folder of the files.
      names: the names of the classes.
      say: shows what was found in each image, and the path of each file.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(_COLUMNS)
    for each in found:
        say(_line(each, names))
        for *box, confidence, kind in each.rows:
            known = [each.name, names[int(kind)], f"{confidence:.4f}"]
            table.writerow([*known, *(f"{edge:.1f}" for edge in box)])
        path = target / f"{each.name}_detections.png"
        if not jax.process_index():
            target.mkdir(exist_ok=True)
            with files.replacing(path) as partial:
                _drawn(each, names).save(partial, "PNG")
        say(path)
    path = target / "detections.csv"
    if not jax.process_index():
        files.write(path, text.getvalue())
    say(path)


def _line(found: Detected, names: Sequence[str]) -> str:
    counts = Counter(names[int(kind)] for kind in found.rows[:, 5])
    listed = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    return f"{found.name}: {listed or 'nothing'}"


def _drawn(found: Detected, names: Sequence[str]) -> Image.Image:
    kinds = found.rows[:, 5].astype(int)
    texts = [f"{names[kind]} {row[4]:.2f}" for kind, row in zip(kinds, found.rows)]
    colours = painting.colours(kinds.max(initial=0) + 2)
    return drawn(found.image, found.rows[:, :4], texts, [colours[kind + 1] for kind in kinds])


def drawn(
    image: UInt8[np.ndarray, "h w c"],
    boxes: Float[np.ndarray, "n 4"],
    texts: Sequence[str],
    colours: Sequence[np.ndarray],
) -> Image.Image:
    """Returns an image with a frame around each box, and a text at the frame.

    A small image is enlarged by a whole number, so that the texts can be read.

    Args:
      image: the image, with one or three channels.
      boxes: ymin, xmin, ymax, xmax in pixels.
      texts: a text for each box.
      colours: a colour for each box, 0 to 255.
    """
    scale = max(1, math.ceil(_LEGIBLE / max(image.shape[:2])))
    image, boxes = image.repeat(scale, axis=0).repeat(scale, axis=1), scale * boxes
    height, width = image.shape[:2]
    picture = Image.fromarray(np.ascontiguousarray(np.broadcast_to(image, (height, width, 3))))
    draw, line = ImageDraw.Draw(picture), max(1, round(min(height, width) / 240))
    font = ImageFont.load_default(size=max(10, min(height, width) / 36))
    whole = np.rint(boxes).astype(int)
    for (top, left, bottom, right), colour in zip(whole, colours):
        ends = (max(left, right - 1), max(top, bottom - 1))
        draw.rectangle([(left, top), ends], outline=tuple(map(int, colour)), width=line)
    # Texts come last: the frame of a neighbour would cross them.
    for (top, left, *_), text, colour in zip(whole, texts, colours):
        *_, right, bottom = draw.textbbox((0, 0), text, font=font)
        left = max(0, min(left, width - right - 2))
        # Above the frame, where there is room.
        above = top - bottom - 2 if top >= bottom + 2 else top
        draw.rectangle(
            [left, above, left + right + 2, above + bottom + 2], fill=tuple(map(int, colour))
        )
        dark = np.dot(colour, (0.299, 0.587, 0.114)) > 128
        draw.text(
            (left + 1, above + 1), text, fill=(0, 0, 0) if dark else (255, 255, 255), font=font
        )
    return picture
