"""What all figures share: the style of this project, and how a figure becomes a file.

Figures use Matplotlib's object interface with the Agg canvas, without a display, a figure registry
or the user's settings. The colours are those of Okabe and Ito (Color Universal Design, 2008), which
are distinct under the common colour-vision deficiencies. A line style, a mark or a word always
repeats the information of a colour.
"""

import contextlib
import io
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from library import files
from library.reporting import notation

BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
SKY, ORANGE, INK, MUTED, FAINT = "#56B4E9", "#E69F00", "#2b2f33", "#6b7075", "#e4e6e8"
COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, INK)
SHADES = LinearSegmentedColormap.from_list(
    "shades", ["#ffffff", "#d3e6f3", "#85bbdc", "#2f86bf", "#0b4f83", "#06243f"], N=256
).with_extremes(bad="#efefef")
WIDTH, DPI = 8.0, 150
SCALE = 0.8
"""CSS pixels per pixel of these figures: their letters have the size of the page's letters."""
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "text.color": INK,
    # Labels come from data: a dollar sign in a class name does not start a formula.
    "text.parse_math": False,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": "#b9bdc1",
    "axes.linewidth": 0.8,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.prop_cycle": matplotlib.cycler(color=COLOURS),
    "grid.color": FAINT,
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.5,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "xtick.color": "#b9bdc1",
    "ytick.color": "#b9bdc1",
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


@contextlib.contextmanager
def styled(changes: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Sets this project's style, without the user's settings of matplotlib, for a block of code.

    Args:
      changes: settings that extend or replace those of `STYLE`.
    """
    defaults = {k: v for k, v in matplotlib.rcParamsDefault.items() if not k.startswith("backend")}
    with matplotlib.rc_context():
        matplotlib.rcParams.update({**defaults, **STYLE, **(changes or {})})
        yield


def failed(what: str, error: Exception) -> str:
    """Warns that a figure could not be drawn, and returns the line that replaces it."""
    reason = (str(error).splitlines() or [""])[0] or type(error).__name__
    said = f"{what} could not be drawn: {notation.printable(reason, 200)}"
    warnings.warn(said, stacklevel=3)
    return said


def save(figure: Figure, path: str | os.PathLike) -> Path:
    """Writes a figure as a PNG file, and replaces an old file in one operation."""
    return files.write(Path(path), png(figure))


def png(figure: Figure) -> bytes:
    """Renders a figure as PNG; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    with styled(), warnings.catch_warnings():
        # Characters that the font lacks are drawn as boxes; the tables show such class names.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def blank(height: float, width: float = WIDTH, layout: str | None = "constrained") -> Figure:
    """Returns an empty figure of a size in inches."""
    figure = Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(figure)
    return figure
