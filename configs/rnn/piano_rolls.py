"""Recurrent networks that predict the next frame of a piano roll.

System:    RNN, LSTM and GRU (Bai et al. 2018, "An empirical evaluation of generic convolutional and
           recurrent networks for sequence modeling"): compose music
Command:   python -m experiments.prepare --dataset=jsb_chorales/jsb
           python -m experiments.train --config=configs/rnn/piano_rolls.py:lstm_jsb
Hardware:  two CPU cores; three minutes on one for :lstm_jsb
Expected:  test/loss 8.45 (:lstm_jsb), 8.43 (:gru_jsb), 8.91 (:elman_jsb), 3.29 (:lstm_nottingham),
           3.46 (:gru_nottingham) and 4.05 (:elman_nottingham), nats a frame
Source:    Bai, Kolter & Koltun 2018, "An empirical evaluation of generic convolutional and
           recurrent networks for sequence modeling", arXiv 1803.01271, table 1.

Layers, rate, dropout and clipping are ours. Notes that are independent of all others have a
test/loss of 11.09 on JSB and 10.26 on Nottingham, a logistic regression on the last frame 9.06 and
4.66.
"""

from ml_collections import ConfigDict

from library import presets

# Cell, units, pieces, reported loss.
VARIANTS = {
    "lstm_jsb": ("lstm", 200, "jsb", 8.45),
    "gru_jsb": ("gru", 230, "jsb", 8.43),
    "elman_jsb": ("elman", 400, "jsb", 8.91),
    "lstm_nottingham": ("lstm", 400, "nottingham", 3.29),
    "gru_nottingham": ("gru", 460, "nottingham", 3.46),
    "elman_nottingham": ("elman", 800, "nottingham", 4.05),
}


def get_config(variant: str = "lstm_jsb") -> ConfigDict:
    cell, width, name, reported = VARIANTS[variant]
    config = presets.piano_rolls(name, batch_size=8)
    config.model = dict(name=f"rnn.{cell}", num_classes=88, width=width, output="each")
    config.model.dropout = 0.5
    config.optimizer = dict(
        name="adam",
        learning_rate=3e-3,
        clip=dict(global_norm=1.0),
        schedule=dict(name="cosine", warmup="5%"),
    )
    config.total = "60 epochs"
    config.reported = dict(metric="test/loss", value=reported, source="Bai et al. 2018, table 1")
    return config
