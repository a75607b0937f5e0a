"""Recurrent networks on the adding problem.

System:    LSTM and GRU (Bai et al. 2018, "An empirical evaluation of generic convolutional and
           recurrent networks for sequence modeling"): answer from a series
Command:   python -m experiments.train --config=configs/rnn/adding.py:gru100
Hardware:  two CPU cores, an estimated 20 minutes for 100 steps; not run to the end here. 600 steps
           take a GPU, or hours.
Expected:  test/loss 5.3e-5 (:gru600), 0.164 (:lstm600) and 0.177 (:elman600); the
           source has no value for 100 steps
Source:    Bai, Kolter & Koltun 2018, "An empirical evaluation of generic convolutional and
           recurrent networks for sequence modeling", arXiv 1803.01271, table 1.

The networks have about 70,000 params, as the source says of its own. Layers, rate and clipping are
ours: Adam at 2e-3 and a global norm of 1. An answer of 1 has a loss of 1/6.
"""

from ml_collections import ConfigDict

from library import presets

# Cell, units, steps of a series, reported loss.
VARIANTS = {
    "gru100": ("gru", 150, 100, None),
    "lstm100": ("lstm", 130, 100, None),
    "elman100": ("elman", 260, 100, None),
    "gru600": ("gru", 150, 600, 5.3e-5),
    "lstm600": ("lstm", 130, 600, 0.164),
    "elman600": ("elman", 260, 600, 0.177),
}


def get_config(variant: str = "gru100") -> ConfigDict:
    cell, width, length, reported = VARIANTS[variant]
    config = presets.adding(length)
    config.model = dict(name=f"rnn.{cell}", width=width)
    config.optimizer = dict(name="adam", learning_rate=2e-3, clip=dict(global_norm=1.0))
    config.total = "10 epochs"
    if reported is not None:
        config.reported = dict(
            metric="test/loss", value=reported, source="Bai et al. 2018, table 1"
        )
    return config
