"""The samples of a run's evaluations, read from samples/: figures of images, and texts."""

import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from library.reporting import image_figures, mosaic, runs

STAGES, ACROSS, SHOWN, COLUMNS, ROWS = 8, 8, 64, 32, 24
LINES, LETTERS = 6, 400
# Of a film: width in pixels, and how long frames last in milliseconds.
FILM_WIDTH, FRAME, LAST_FRAME = 384, 150, 1500
# Outputs whose rows lead from one image to another. Rows of other outputs end in their result.
_BETWEEN = ("interpolate", "manifold")
# What the images of a row are, by output and number.
_OF_ROWS = {
    ("overlay", 3): "the image, the truth, what is found",
    ("overlay", 2): "the truth, what is found",
    ("triplet", 3): "the damaged image, what is made of it, the true image",
}


class SavedSamples(NamedTuple):
    """The samples of one name, EVALUATOR_OUTPUT, at ascending steps."""

    name: str
    steps: list[int]
    paths: list[Path]

    def at(self, place: int) -> np.ndarray:
        """Returns the samples of the step at an index of `steps`."""
        return runs.read_arrays(self.paths[place])["values"]

    def captions(self) -> list[str] | None:
        """Returns the captions of the images of the last step, or None."""
        found = runs.read_arrays(self.paths[-1]).get("captions")
        return None if found is None else list(map(str, found))


def find(workdir: Path) -> list[SavedSamples]:
    """Lists the samples of a run, by name."""
    found = []
    for folder in sorted((workdir / "samples").glob("*/")):
        paths = sorted(path for path in folder.glob("*.npz") if path.stem.isdigit())
        if paths:
            found.append(SavedSamples(folder.name, [int(path.stem) for path in paths], paths))
    return found


def newest(samples: SavedSamples) -> tuple[Figure, str] | list[str]:
    """Draws the images of the last evaluation and describes them, or returns its texts.

    It draws the first 64 images, eight in a row. Of rows of images it draws the first 64 rows and
    32 columns, and of images with captions the first 24. The description states how many are left
    out.
    """
    values = samples.at(-1)
    if values.dtype.kind == "U":
        return list(map(str, values))
    said, captions = f"{samples.name}, step {samples.steps[-1]:,}", samples.captions()
    output = samples.name.rpartition("_")[2]
    if values.ndim == 5 and (row := _OF_ROWS.get((output, values.shape[1]))):
        said += f" ({row})"
    if captions is not None:
        said += _left_out("cases", len(values), ROWS)
        return image_figures.captioned(values[:ROWS], captions[:ROWS]), said
    if values.ndim != 5:
        said += _left_out("images", len(values), SHOWN)
        return image_figures.mosaic(mosaic.in_rows(values[:SHOWN], columns=ACROSS)), said
    said += _left_out("rows", len(values), SHOWN) + _left_out("columns", values.shape[1], COLUMNS)
    return image_figures.mosaic(values[:SHOWN, :COLUMNS]), said


def over_training(samples: SavedSamples) -> Figure | list[tuple[int, str]] | None:
    """Draws the same samples at up to eight steps, one row for each; None for a single step.

    Images with captions have no such figure: they may be of other examples at each step.

    Of a row of images it draws the last image, or the middle image if rows lead from one image to
    another. Of texts it returns the beginning of the first text, as pairs (step, text).
    """
    chosen = _spread(len(samples.steps), STAGES)
    if len(chosen) < 2 or samples.captions() is not None:
        return None
    stages = [samples.at(place) for place in chosen]
    steps = [samples.steps[place] for place in chosen]
    if stages[-1].dtype.kind == "U":
        return [(step, _beginning(str(x[0]))) for step, x in zip(steps, stages) if len(x)]
    firsts = [_of_each_row(samples.name, x) if x.ndim == 5 else x[:ACROSS] for x in stages]
    if len({x.shape for x in firsts}) > 1:
        return None
    return image_figures.mosaic(np.stack(firsts), [f"step {step:,}" for step in steps])


def film(samples: SavedSamples) -> bytes | None:
    """Returns an animated PNG of single pictures over training, a frame for each evaluation.

    Samples of several images, of texts, or at less than three steps have none.
    """
    values = samples.at(-1)
    single = values.dtype == np.uint8 and values.ndim == 4 and len(values) == 1
    if len(samples.steps) < 3 or not single or samples.captions() is not None:
        return None
    frames = [samples.at(place)[0] for place in range(len(samples.steps))]
    if len({frame.shape for frame in frames}) > 1:
        return None
    scale = max(1, FILM_WIDTH // frames[0].shape[1])
    large = [frame.repeat(scale, axis=0).repeat(scale, axis=1) for frame in frames]
    first, *rest = [Image.fromarray(x[..., 0] if x.shape[-1] == 1 else x) for x in large]
    file, times = io.BytesIO(), [FRAME] * len(rest) + [LAST_FRAME]
    first.save(file, "PNG", save_all=True, append_images=rest, duration=times, loop=0)
    return file.getvalue()


def _of_each_row(name: str, rows: np.ndarray) -> np.ndarray:
    if not name.endswith(_BETWEEN):
        return rows[:ACROSS, -1]
    return rows[_spread(len(rows), ACROSS), rows.shape[1] // 2]


def _beginning(text: str) -> str:
    cut = "\n".join(text.split("\n")[:LINES])[:LETTERS]
    return cut if cut == text else f"{cut} …"


def _left_out(what: str, count: int, most: int) -> str:
    return f", the first {most} of {count} {what}" if count > most else ""


def _spread(count: int, most: int) -> list[int]:
    """Returns up to `most` evenly spaced indices below `count`, with the first and the last."""
    return sorted(set(np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist()))
