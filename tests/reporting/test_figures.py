"""Figures follow this project's style alone, and the same figure is the same file."""

import os
import subprocess
import sys
import warnings

import matplotlib
import numpy as np
from PIL import Image

from library.reporting import class_figures, curve_figures, figures
from tests.reporting.drawn import pixels


def test_no_global_state_of_pyplot_is_touched():
    code = "import sys, library.reporting.report; sys.exit('matplotlib.pyplot' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# A notebook's backend that is not installed, an unwritable home, and settings that break drawing.
ODD = {
    "text.usetex": True,
    "font.family": "NoSuchFont",
    "figure.dpi": 30,
    "image.lut": 3,
    "lines.linewidth": 9,
    "savefig.bbox": "tight",
    "savefig.transparent": True,
    "axes.titlesize": 40,
    "legend.loc": "center",
}


def drawn():
    x = np.arange(4.0)
    curves = {"train/loss": (x, 1 / (1 + x)), "test/accuracy": (x, x / 8)}
    confusion = np.arange(9).reshape(3, 3)
    return [
        figures.png(curve_figures.learning_curves(curves, 2.0)),
        figures.png(class_figures.confusion_matrix(confusion)),
        figures.png(curve_figures.compared([("a", curves)], ["train/loss"])),
    ]


def test_a_users_settings_of_matplotlib_change_no_figure():
    with matplotlib.rc_context(ODD):
        odd = drawn()
        assert matplotlib.rcParams["text.usetex"]
    assert odd == drawn()


def test_a_users_backend_and_home_break_no_figure(tmp_path):
    settings = tmp_path / "matplotlibrc"
    settings.write_text("backend: nosuch\nno.such.key: 1\nfont.size: rubbish\ntext.usetex: True\n")
    environment = {
        **os.environ,
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MATPLOTLIBRC": str(settings),
        "HOME": "/proc/nowhere",
        "MPLCONFIGDIR": "/proc/nowhere",
    }
    code = "import library.reporting, os; from tests.reporting.test_figures import drawn; drawn()"
    code += "; assert os.environ['MPLBACKEND'].startswith('module')"
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_the_same_figure_is_the_same_file(tmp_path):
    sums = np.array([[0.2, 2.5], [0.0, 4.0], [1.0, 8.0]])
    paths = [figures.save(class_figures.reliability(sums), tmp_path / f"{i}.png") for i in range(2)]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert Image.open(paths[0]).size == (690, 690)


def test_names_from_data_are_text_whatever_they_hold():
    names = ["$\\frac{1", "<b>\n", "日本語"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pixels(class_figures.confusion_matrix(np.eye(3), names)).shape[2] == 3
