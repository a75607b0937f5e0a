"""A perceptron on frames of spoken digits, each with its neighbours.

System:    Perceptron of frames (Bengio 1991, "Artificial neural networks and their application to
           sequence recognition"): classify recordings
Command:   python -m experiments.prepare --dataset=fsdd
           python -m experiments.train --config=configs/frame_perceptron/fsdd.py
Hardware:  one CPU core, an estimated two minutes
Expected:  no result is claimed
Source:    none on these recordings. The sources recognize phonemes

A frame of 25 ms is read with four to each side. Adam takes the place of gradient descent, and the
digit of a recording that of a phoneme for each frame.
"""

from ml_collections import ConfigDict

from library import presets


def get_config(variant: str = "") -> ConfigDict:
    config = presets.spoken_digits(bands=20)
    config.model = dict(name="early_speech.frame_perceptron")
    config.optimizer = dict(
        name="adam", learning_rate=3e-3, schedule=dict(name="cosine", warmup="1 epoch")
    )
    config.total = "30 epochs"
    return config
