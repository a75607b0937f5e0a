"""What a run made at each evaluation, read back from samples/ and drawn: images over time, text."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from library.reporting import figures, mosaic, runs

STAGES, ACROSS, SHOWN = 8, 8, 64


class Made(NamedTuple):
    """The samples of one name, at rising steps."""

    name: str
    steps: list[int]
    paths: list[Path]

    def at(self, place: int) -> np.ndarray:
        """Returns what was made at the place-th of the steps."""
        return runs.read_arrays(self.paths[place])["values"]


def find(workdir: Path) -> list[Made]:
    """Lists what a run made, by name."""
    found = []
    for folder in sorted((workdir / "samples").glob("*/")):
        paths = sorted(path for path in folder.glob("*.npz") if path.stem.isdigit())
        if paths:
            found.append(Made(folder.name, [int(path.stem) for path in paths], paths))
    return found


def newest(made: Made) -> Figure | list[str]:
    """Draws the images of the last evaluation, or returns its texts."""
    values = made.at(-1)
    if values.dtype.kind == "U":
        return list(map(str, values))
    rows = values if values.ndim == 5 else mosaic.in_rows(values[:SHOWN], columns=ACROSS)
    return figures.mosaic(rows[:, :16])


def over_training(made: Made) -> Figure | None:
    """Draws the same places at up to eight steps, a row each; None for text or a single step."""
    chosen = _spread(len(made.steps), STAGES)
    if len(chosen) < 2:
        return None
    stages = [made.at(place) for place in chosen]
    if stages[-1].dtype.kind == "U":
        return None
    # Of rows of images, the last of each is what they come to.
    firsts = [(x[:, -1] if x.ndim == 5 else x)[:ACROSS] for x in stages]
    if len({x.shape for x in firsts}) > 1:
        return None
    names = [f"step {made.steps[place]:,}" for place in chosen]
    return figures.mosaic(np.stack(firsts), names)


def _spread(count: int, most: int) -> list[int]:
    """Returns up to `most` places of `count`, the first and the last among them."""
    return sorted(set(np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist()))
