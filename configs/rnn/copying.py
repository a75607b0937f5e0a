"""Recurrent networks on the copy problem.

System:    LSTM and GRU (Bai et al. 2018, "An empirical evaluation of generic convolutional and
           recurrent networks for sequence modeling"): answer from a series
Command:   python -m experiments.train --config=configs/rnn/copying.py:gru10
Hardware:  two CPU cores for a pause of 10 steps; not run here. 1,000 steps take a GPU, or hours.
Expected:  test/loss 0.0197 (:gru1000), 0.0204 (:lstm1000) and 0.0202 (:elman1000); the
           source has no value for 10 steps
Source:    Bai, Kolter & Koltun 2018, "An empirical evaluation of generic convolutional and
           recurrent networks for sequence modeling", arXiv 1803.01271, table 1.

The networks have about 70,000 params. Layers, rate and clipping are ours: Adam at 1e-3 and a global
norm of 1. A network that forgets the symbols has a loss of 10 ln 8 / 1020 = 0.0204, after 1,000
steps.
"""

from ml_collections import ConfigDict

from library import presets

# Cell, units, steps of the pause, reported loss.
VARIANTS = {
    "gru10": ("gru", 150, 10, None),
    "lstm10": ("lstm", 130, 10, None),
    "elman10": ("elman", 260, 10, None),
    "gru1000": ("gru", 150, 1000, 0.0197),
    "lstm1000": ("lstm", 130, 1000, 0.0204),
    "elman1000": ("elman", 260, 1000, 0.0202),
}


def get_config(variant: str = "gru10") -> ConfigDict:
    cell, width, length, reported = VARIANTS[variant]
    config = presets.copying(length)
    config.model = dict(name=f"rnn.{cell}", num_classes=10, width=width, output="each")
    config.optimizer = dict(name="adam", learning_rate=1e-3, clip=dict(global_norm=1.0))
    config.total = "50 epochs"
    if reported is not None:
        config.reported = dict(
            metric="test/loss", value=reported, source="Bai et al. 2018, table 1"
        )
    return config
