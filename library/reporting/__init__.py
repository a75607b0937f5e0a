"""Figures, the report of a run and the table of results."""

import contextlib
import os

# A notebook names its own backend for the programs that it starts, and where that is not installed
# matplotlib cannot be imported. All figures here are drawn without any.
_chosen = os.environ.pop("MPLBACKEND", None)
import matplotlib  # noqa: E402

if _chosen is not None:
    os.environ["MPLBACKEND"] = _chosen
    with contextlib.suppress(ValueError):
        matplotlib.rcParams["backend"] = _chosen
