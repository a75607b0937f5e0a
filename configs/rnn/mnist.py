"""Recurrent networks that read MNIST pixel by pixel, in order or permuted.

System:    LSTM and GRU (Bai et al. 2018, "An empirical evaluation of generic convolutional and
           recurrent networks for sequence modeling"): answer from a series
Command:   python -m experiments.prepare --dataset=mnist_npz
           python -m experiments.train --config=configs/rnn/mnist.py:gru
Hardware:  one GPU, or an estimated three hours on two CPU cores; not run here. :rows reads 28
           pixels a step, and takes minutes on two CPU cores.
Expected:  test/accuracy 0.962 (:gru), 0.872 (:lstm) and 0.215 (:elman); permuted 0.873
           (:gru_permuted), 0.857 (:lstm_permuted) and 0.253 (:elman_permuted); the
           source has no value for :rows
Source:    Bai, Kolter & Koltun 2018, "An empirical evaluation of generic convolutional and
           recurrent networks for sequence modeling", arXiv 1803.01271, table 1.

The networks have about 70,000 params. Layers, rate and clipping are ours: Adam at 1e-3 and a global
norm of 1.
"""

from ml_collections import ConfigDict

from library import presets

# Cell, units, permuted, reported accuracy.
VARIANTS = {
    "gru": ("gru", 150, False, 0.962),
    "lstm": ("lstm", 130, False, 0.872),
    "elman": ("elman", 260, False, 0.215),
    "gru_permuted": ("gru", 150, True, 0.873),
    "lstm_permuted": ("lstm", 130, True, 0.857),
    "elman_permuted": ("elman", 260, True, 0.253),
    "rows": ("gru", 128, False, None),
}


def get_config(variant: str = "gru") -> ConfigDict:
    cell, width, permuted, reported = VARIANTS[variant]
    config = presets.sequential_mnist(permuted=permuted)
    if variant == "rows":
        config.preprocess[1]["by"] = "row"
    config.model = dict(name=f"rnn.{cell}", width=width)
    config.optimizer = dict(name="adam", learning_rate=1e-3, clip=dict(global_norm=1.0))
    config.total = "20 epochs"
    if reported is not None:
        config.reported = dict(
            metric="test/accuracy", value=reported, source="Bai et al. 2018, table 1"
        )
    return config
