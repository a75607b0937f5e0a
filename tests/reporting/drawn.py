"""What a figure shows."""

import io

import numpy as np
from PIL import Image

from library.reporting import figures


def texts(axes):
    """Returns the texts of axes, in the order in which they were drawn."""
    return [text.get_text() for text in axes.texts]


def pixels(figure):
    """Returns the pixels (h, w, 3) of the file of a figure."""
    return np.asarray(Image.open(io.BytesIO(figures.png(figure))).convert("RGB"))
