"""Figures, reports of runs, the table of results, and the generated reference pages."""

import contextlib
import os

# A notebook sets its own backend for the programs that it starts. matplotlib cannot be imported if
# that backend is not installed. All figures here are drawn without a backend.
_chosen = os.environ.pop("MPLBACKEND", None)
import matplotlib  # noqa: E402

if _chosen is not None:
    os.environ["MPLBACKEND"] = _chosen
    with contextlib.suppress(ValueError):
        matplotlib.rcParams["backend"] = _chosen
