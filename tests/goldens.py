"""Logits of other projects' networks, with weights drawn by name, on one image."""

import json
from pathlib import Path

import numpy as np
import pytest

from library.weights.catalogue import CATALOGUE

FILE = Path(__file__).with_name("weights") / "goldens.json"
# Side of the image: of networks that do without their usual size, and of the others.
SIZE = 64
SIZES: dict[str, int] = {}
# Of the logits every 40th is kept.
EVERY = 40


def image(size: int) -> np.ndarray:
    """Returns an image (1, size, size, 3) like none of noise: waves in all directions."""
    row, column, channel = np.indices((size, size, 3))
    return np.sin(row * column / 300 + channel).astype(np.float32)[None]


def read() -> dict[str, dict[str, list[float]]]:
    """Returns what the file holds, by the name of the network."""
    return json.loads(FILE.read_text())


def one_a_family() -> list:
    """Returns all networks for `parametrize`; those without a golden only run in the full tests."""
    short = read()
    return [n if n in short else pytest.param(n, marks=pytest.mark.full) for n in CATALOGUE]
