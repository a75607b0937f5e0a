"""Classifiers of spoken digits: five networks on log-mel spectra of FSDD.

System:    Classifiers of speech (Waibel et al. 1989, "Phoneme recognition using time-delay neural
           networks"; Sainath & Parada 2015, "Convolutional neural networks for small-footprint
           keyword spotting"; Graves & Schmidhuber 2005; Berg et al. 2021): classify recordings
Command:   python -m experiments.prepare --dataset=fsdd
           python -m experiments.train --config=configs/speech/fsdd.py:cnn
Hardware:  two CPU cores
Expected:  no result is claimed; the aim of this project is test/accuracy 0.985
Source:    none: the authors of the recordings state no result

`:speaker` is the convolutional network, trained on five people and tested on the sixth, theo. Other
people are variants of the data set: --config.dataset.name=fsdd_speakers/jackson.
"""

from ml_collections import ConfigDict

from library import presets

# Model and name of the data set.
VARIANTS = {
    "cnn": (dict(name="speech.cnn"), "fsdd"),
    "tdnn": (dict(name="speech.tdnn"), "fsdd"),
    "blstm": (dict(name="speech.blstm"), "fsdd"),
    "transformer": (dict(name="speech.transformer"), "fsdd"),
    "perceptron": (dict(name="speech.perceptron"), "fsdd"),
    "speaker": (dict(name="speech.cnn"), "fsdd_speakers/theo"),
}


def get_config(variant: str = "cnn") -> ConfigDict:
    model, data = VARIANTS[variant]
    config = presets.spoken_digits(data)
    config.augment = [
        dict(name="spec_augment", time_width=10, time_share=0.2, band_width=6),
    ]
    config.model = dict(model)
    config.task.label_smoothing = 0.1
    config.optimizer = dict(
        name="adamw",
        learning_rate=2e-3,
        weight_decay=0.01,
        clip=dict(global_norm=1.0),
        schedule=dict(name="cosine", warmup="1 epoch"),
    )
    config.total = "30 epochs"
    return config
