"""A recurrent network of 1991 on spoken digits, frame by frame.

System:    Recurrent error propagation network (Robinson & Fallside 1991, "A recurrent error
           propagation network speech recognition system"): classify recordings
Command:   python -m experiments.prepare --dataset=fsdd
           python -m experiments.train --config=configs/error_propagation/fsdd.py
Hardware:  one CPU core, an estimated five minutes
Expected:  no result is claimed
Source:    none on these recordings. The authors recognize the phonemes of TIMIT

The state has 96 units, and a frame is answered four frames late, as in the paper. Adam takes the
place of its gradient descent, and the digit of a recording that of a phoneme for each frame.
"""

from ml_collections import ConfigDict

from library import presets


def get_config(variant: str = "") -> ConfigDict:
    config = presets.spoken_digits(bands=20)
    config.model = dict(name="early_speech.error_propagation")
    config.optimizer = dict(
        name="adam",
        learning_rate=3e-3,
        clip=dict(global_norm=1.0),
        schedule=dict(name="cosine", warmup="1 epoch"),
    )
    config.total = "30 epochs"
    return config
