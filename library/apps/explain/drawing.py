"""Pictures of explanations and of adversarial examples, drawn from plain arrays, and their page."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from jaxtyping import Float, Int, UInt8
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from PIL import Image

from library import files
from library.reporting import figures, mosaic, notation, page

# Blue, white, red: against, neutral, for. All common colour-vision deficiencies keep them distinct.
SIGNED = LinearSegmentedColormap.from_list(
    "signed", [figures.BLUE, "#ffffff", figures.VERMILLION], N=256
)
HEAT = LinearSegmentedColormap.from_list("heat", ["#ffd54a", "#f2801e", "#b3122b"], N=256)
_TILE, _MARGIN, _FRAME, _LEFT, _TOP = 116, 3, 222, 1.42, 0.34


class Picture(NamedTuple):
    """A picture of the page.

    Attributes:
      name: name of its file, without the ending.
      heading: heading above the picture.
      captions: paragraphs that describe the picture.
      png: content of the PNG file.
    """

    name: str
    heading: str
    captions: Sequence[str]
    png: bytes


def strength(values: Float[np.ndarray, "n h w"]) -> UInt8[np.ndarray, "n h w 3"]:
    """Draws values from 0 on as white to dark, each image scaled by its greatest value."""
    return _coloured(figures.SHADES, values / _greatest(values))


def signed(values: Float[np.ndarray, "n h w"]) -> UInt8[np.ndarray, "n h w 3"]:
    """Draws values as blue (below 0), white, and red, each image scaled by its greatest value."""
    return _coloured(SIGNED, 0.5 + 0.5 * values / _greatest(values))


def around_grey(
    values: Float[np.ndarray, "n h w c"], greatest: float | None = None
) -> UInt8[np.ndarray, "n h w c"]:
    """Draws values as colours around grey, which is 0, scaled by `greatest` or each image's own."""
    top = _greatest(values) if greatest is None else greatest
    return np.uint8(255 * np.clip(0.5 + 0.5 * values / top, 0, 1) + 0.5)


def laid_over(
    image: UInt8[np.ndarray, "n h w c"], values: Float[np.ndarray, "n h w"]
) -> UInt8[np.ndarray, "n h w 3"]:
    """Draws values from 0 on over grey images, each image's greatest value in the darkest red."""
    share = np.clip(values / _greatest(values), 0, 1)[..., None]
    grey = 0.35 * 255 + 0.65 * image.astype(np.float32).mean(-1, keepdims=True)
    cover = 0.9 * share
    return np.uint8((1 - cover) * grey + cover * HEAT(share[..., 0])[..., :3] * 255 + 0.5)


def _coloured(colours, values) -> np.ndarray:
    return np.uint8(colours(np.clip(values, 0, 1))[..., :3] * 255 + 0.5)


def _greatest(values) -> np.ndarray:
    """Returns each image's scale, which 0.2 % of its values may exceed."""
    axes = tuple(range(1, values.ndim))
    return np.maximum(np.quantile(np.abs(values), 0.998, axis=axes, keepdims=True), 1e-12)


def table(
    columns: Mapping[str, UInt8[np.ndarray, "n h w c"]], captions: Sequence[Sequence[str]]
) -> Figure:
    """Draws rows of images under titles, with a few lines of text at the left of each row.

    Args:
      columns: images by title, one per row, all of one height and width.
      captions: the lines of text of each row; the first is bold.
    """
    picture, (tall, wide) = _tiles(list(columns.values()))
    left = _LEFT if any(map(any, captions)) else 0.0
    width = left + picture.shape[1] / figures.DPI
    height = _TOP + picture.shape[0] / figures.DPI
    tall, wide = tall / figures.DPI, wide / figures.DPI
    with figures.styled():
        figure = Figure(figsize=(width, height))
        FigureCanvasAgg(figure)
        axes = figure.add_axes((left / width, 0, 1 - left / width, 1 - _TOP / height))
        axes.imshow(picture, aspect="auto", interpolation="nearest")
        axes.set_axis_off()
        for i, title in enumerate(columns):
            at = (left + (i + 0.5) * wide) / width
            style = dict(size=7.5, color=figures.INK, ha="center", va="bottom", linespacing=1.1)
            figure.text(at, 1 - (_TOP - 0.04) / height, title, **style)
        for row, lines in enumerate(captions):
            middle = height - _TOP - (row + 0.5) * tall
            for i, line in enumerate(lines):
                at = (middle + 0.145 * ((len(lines) - 1) / 2 - i)) / height
                weight = "bold" if i == 0 else "normal"
                figure.text(0.02, at, line, size=7.5, weight=weight, va="center")
    return figure


def _tiles(columns: Sequence[np.ndarray], side: int = _TILE) -> tuple[np.ndarray, tuple[int, int]]:
    """Returns one picture of all images, and the height and width of a tile with its margin."""
    colours = [np.broadcast_to(x, (*x.shape[:3], 3)) for x in columns]
    rows = np.stack(colours, axis=1)
    scale = max(1, round(side / max(rows.shape[2:4])))
    rows = rows.repeat(scale, axis=2).repeat(scale, axis=3)
    # The page is white, and so are maps where they are 0: a thin frame shows their borders.
    for width, value in ((1, _FRAME), (_MARGIN, mosaic.PAPER)):
        space = ((0, 0), (0, 0), (width, width), (width, width), (0, 0))
        rows = np.pad(rows, space, constant_values=value)
    n, k, h, w, _ = rows.shape
    return rows.swapaxes(1, 2).reshape(n * h, k * w, 3), (h, w)


def scatter(
    layouts: Mapping[str, Float[np.ndarray, "n 2"]],
    label: Int[np.ndarray, " n"],
    label_names: Sequence[str],
) -> Figure:
    """Draws examples as points in the plane, one panel per layout, coloured by class.

    With up to twenty classes, each class's name is at the median of its points.
    """
    few = len(label_names) <= 20
    colours = matplotlib.colormaps["tab10" if len(label_names) <= 10 else "tab20"]
    with figures.styled({"axes.grid": False}):
        figure = Figure(figsize=(4.4 * len(layouts), 4.4), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(1, len(layouts), squeeze=False)[0]
        for axes, (title, points) in zip(panels, layouts.items()):
            axes.set_title(title)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            for k, name in enumerate(label_names):
                own = points[label == k]
                if len(own):
                    axes.scatter(*own.T, s=5, color=colours(k % colours.N), linewidths=0)
                if len(own) and few:
                    box = dict(facecolor="white", alpha=0.75, linewidth=0, pad=1)
                    at = np.median(own, axis=0)
                    axes.text(*at, notation.printable(name, 12), size=8, ha="center", bbox=box)
    return figure


def tiles(images: UInt8[np.ndarray, "n h w c"], columns: int | None = None) -> bytes:
    """Returns a PNG file of images side by side in rows, by default as a square."""
    rows = mosaic.in_rows(images, columns)
    picture, _ = _tiles(list(rows.swapaxes(0, 1)), side=64)
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def resized(
    images: UInt8[np.ndarray, "n k h w 1"], size: tuple[int, int]
) -> UInt8[np.ndarray, "n k y x 1"]:
    """Resizes images to another height and width by the nearest pixel."""
    rows, columns = (np.arange(n) * m // n for n, m in zip(size, images.shape[2:4]))
    return images[:, :, rows][:, :, :, columns]


def write(
    folder: Path, name: str, title: str, pictures: Sequence[Picture], notes: Sequence[str] = ()
) -> Path:
    """Writes the pictures, and one HTML page that contains them; returns the page's path."""
    header = page.tag("header", page.tag("h1", title), *(page.tag("p", note) for note in notes))
    sections = [
        page.section(
            item.heading,
            page.figure(item.png, "", kind="photos", scale=figures.SCALE),
            *(page.tag("p", caption, class_="under") for caption in item.captions),
        )
        for item in pictures
    ]
    for item in pictures:
        files.write(folder / f"{item.name}.png", item.png)
    return files.write(folder / f"{name}.html", page.render(title, header, *sections))
