"""An LSTM that recognizes movements, outlines and vowels.

System:    LSTM and GRU (Bai et al. 2018, "An empirical evaluation of generic convolutional and
           recurrent networks for sequence modeling"): answer from a series
Command:   python -m experiments.prepare --dataset=gestures/basic_motions
           python -m experiments.train --config=configs/rnn/gestures.py:basic_motions
Hardware:  two CPU cores, minutes
Expected:  no result is claimed
Source:    none: the settings are ours

The network reads a series in both directions and answers from the mean of its states. The sets are
those of configs/time_series_fcn/gestures.py, and so are the data of each step.
"""

from ml_collections import ConfigDict

from library import presets

VARIANTS = ("basic_motions", *(name for name in presets.GESTURES if name != "basic_motions"))


def get_config(variant: str = "basic_motions") -> ConfigDict:
    config = presets.gestures(variant)
    config.model = dict(name="rnn.lstm", width=64, bidirectional=True, output="mean", dropout=0.2)
    config.optimizer = dict(
        name="adam",
        learning_rate=2e-3,
        clip=dict(global_norm=1.0),
        schedule=dict(name="cosine", warmup="5%"),
    )
    config.total = "100 epochs"
    return config
