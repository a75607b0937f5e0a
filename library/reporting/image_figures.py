"""Figures of images in rows and columns, with what a model says of each."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, UInt8
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from library.reporting import mosaic as mosaics
from library.reporting import notation
from library.reporting.figures import BLUE, MUTED, SKY, VERMILLION, WIDTH, blank, styled


def prediction_grid(
    images: UInt8[np.ndarray, "n h w c"],
    labels: Int[np.ndarray, " n"],
    probabilities: Float[np.ndarray, "n k"],
    label_names: Sequence[str] | None = None,
    *,
    columns: int = 8,
) -> Figure:
    """Draws samples, and below each its predicted class, the probability and, if wrong, the truth.

    Args:
      images: one image per sample, uint8 or floats in [0, 1].
      labels: true classes.
      probabilities: predicted class probabilities.
      label_names: k names; numbers by default.
      columns: samples per row.
    """
    names = notation.class_names(label_names, probabilities.shape[1])
    letters = 128 // columns

    def caption(axes, i, x, y):
        guess, label = int(probabilities[i].argmax()), int(labels[i])
        right, share = guess == label, notation.percent(float(probabilities[i, guess]))
        text = notation.printable(names[guess], letters - len(share) - 2)
        mark, colour = ("✓", BLUE) if right else ("✗", VERMILLION)
        axes.text(x, y + 0.13, f"{mark} {text}, {share}", size=6.5, color=colour, va="center")
        if not right:
            true = names[label] if 0 <= label < len(names) else label
            text = notation.printable(f"is {true}", letters)
            axes.text(x, y + 0.28, text, size=6.5, color=MUTED, va="center")

    wrong = np.any(probabilities.argmax(1) != labels)
    return _draw_grid(images, columns, 0.4 if wrong else 0.26, caption)


def image_grid(
    images: UInt8[np.ndarray, "n h w c"],
    *,
    probabilities: Float[np.ndarray, "n k"] | None = None,
    label_names: Sequence[str] | None = None,
    columns: int = 8,
) -> Figure:
    """Draws images in rows, and below each its five most probable classes, if given.

    Args:
      images: uint8 or floats in [0, 1]; one or three channels.
      probabilities: predicted class probabilities; with them a row has at most 4 images.
      label_names: k names; numbers by default.
      columns: images per row.
    """
    if probabilities is None:
        return _draw_grid(images, columns, 0.0, lambda *_: None)
    names = notation.class_names(label_names, probabilities.shape[1])
    columns = min(columns, 4)
    room = (WIDTH - 0.12 * columns) / columns

    def caption(axes, i, x, y):
        order = np.argsort(-probabilities[i], kind="stable")[:5]
        for place, guess in enumerate(order):
            share, top = float(probabilities[i, guess]), y + 0.08 + 0.17 * place
            bar = Rectangle((x, top), room * share, 0.14, color=SKY, alpha=0.55, linewidth=0)
            axes.add_patch(bar)
            name = notation.printable(names[guess], int(room * 11))
            axes.text(x + 0.03, top + 0.075, name, size=7, va="center")
            axes.text(
                x + room, top + 0.075, notation.percent(share), size=7, va="center", ha="right"
            )

    return _draw_grid(images, columns, 1.0, caption)


def mosaic(rows: UInt8[np.ndarray, "n k h w c"], names: Sequence[str] | None = None) -> Figure:
    """Draws rows of images side by side, with the name of each row at its left, if given."""
    picture = mosaics.mosaic(rows)
    left = 0.95 if names else 0.0
    tile = min((WIDTH - left) / rows.shape[1], 1.1)
    width = tile * rows.shape[1]
    height = width * picture.shape[0] / picture.shape[1]
    with styled():
        figure = blank(height, left + width, layout=None)
        axes = figure.add_axes((left / (left + width), 0, width / (left + width), 1))
        axes.imshow(_pixels(picture), cmap="gray", vmin=0, vmax=1, aspect="auto")
        axes.set_axis_off()
        for i, name in enumerate(names or ()):
            middle = 1 - (i + 0.5) / len(rows)
            figure.text(0, middle, notation.printable(name, 16), size=8, color=MUTED, va="center")
    return figure


def captioned(images: UInt8[np.ndarray, "n *k h w c"], captions: Sequence[str]) -> Figure:
    """Draws images, or rows of images, with a caption below each.

    Args:
      images: (n, h, w, c), which are drawn three in a row; or (n, k, h, w, c), a row each.
      captions: n captions.
    """

    def caption(axes, i, x, y):
        text = notation.printable(captions[i], 44)
        axes.text(x, y + 0.12, text, size=8, color=MUTED, va="center")

    if images.ndim == 4:
        return _draw_grid(images, min(len(images), 3), 0.2, caption, across=3)
    joined = np.concatenate([mosaics.mosaic(row[None])[None] for row in images])
    return _draw_grid(joined, 1, 0.2, caption, across=1)


def augmentation_grid(images: UInt8[np.ndarray, "n k h w c"], *, rows: int = 8) -> Figure:
    """Draws each original image and, to its right, its augmented views.

    Args:
      images: k images per example, the original first.
      rows: the most examples to draw.
    """
    images = np.asarray(images)[:rows, :10]
    views = images.shape[1]

    def caption(axes, i, x, y):
        pass

    figure = _draw_grid(
        images.reshape(-1, *images.shape[2:]), views, 0.0, caption, after_first=0.14, above=0.24
    )
    axes, tile = figure.axes[0], (WIDTH - 0.14) / max(views, 6)
    with styled():
        axes.text(0, 0.1, "original", size=8, color=MUTED, va="center")
        if views > 1:
            axes.text(tile + 0.14, 0.1, "augmented views", size=8, color=MUTED, va="center")
    return figure


def _draw_grid(
    images, columns, room, caption, *, after_first=0.0, above=0.0, across=None
) -> Figure:
    """Draws a grid of images, in inches, with `room` below each for `caption(axes, i, x, y)`.

    An image takes the width of `across` columns, or of more if there are more columns.
    """
    images = np.asarray(images)
    columns = max(columns, 1)
    gap = 0.12
    tile = (WIDTH - after_first) / max(columns, across or (6 if room < 1 else 4))
    side = tile - gap
    tall = side * images.shape[1] / images.shape[2] if images.ndim == 4 else side
    rows = max(1, math.ceil(len(images) / columns))
    height = above + rows * (tall + room + gap)
    used = min(columns, max(len(images), 1))
    width = max(used * tile + after_first, 2.0)
    with styled():
        figure = blank(height, width, layout=None)
        axes = figure.add_axes((0, 0, 1, 1))
        for i, image in enumerate(images):
            row, column = divmod(i, columns)
            x = column * tile + (after_first if column else 0)
            y = above + row * (tall + room + gap)
            axes.imshow(
                _pixels(image), cmap="gray", vmin=0, vmax=1, extent=(x, x + side, y + tall, y)
            )
            caption(axes, i, x, y + tall)
        axes.set(xlim=(0, width), ylim=(height, 0), aspect="auto")
        axes.set_axis_off()
    return figure


def _pixels(image) -> np.ndarray:
    """Returns an image as floats in [0, 1], (h, w) or (h, w, 3)."""
    image = np.asarray(image)
    image = image / 255.0 if image.dtype == np.uint8 else image.astype(float)
    image = np.clip(np.nan_to_num(image), 0, 1)
    return image[..., 0] if image.shape[-1] in (1, 2) else image[..., :3]
