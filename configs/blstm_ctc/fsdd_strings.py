"""A bidirectional LSTM that reads strings of spoken digits, trained without their boundaries.

System:    BLSTM-CTC (Graves et al. 2006, "Connectionist temporal classification: labelling
           unsegmented sequence data with recurrent neural networks"): recognize speech
Command:   python -m experiments.prepare --dataset=fsdd_strings
           python -m experiments.train --config=configs/blstm_ctc/fsdd_strings.py
Hardware:  two CPU cores
Expected:  no result is claimed; the aim of this project is test/label_error_rate 0.03
Source:    Graves et al. 2006 read the phonemes of TIMIT, which is not free, with an error rate of
           31.47 % by the best path

Frames are those of the paper: 26 numbers, cepstra and the energy with their derivatives. The
optimizer is Adam in place of gradient descent with momentum, for a shorter run.
"""

from ml_collections import ConfigDict

SAMPLES = 32_800


def get_config(variant: str = "") -> ConfigDict:
    config = ConfigDict()
    config.dataset = dict(
        name="fsdd_strings",
        train="train",
        test="test",
        batch_size=32,
        eval_batch_size=100,
        cache="device",
    )
    config.preprocess = [
        dict(name="select", keys=["audio", "tokens"]),
        dict(name="pad_series", length=SAMPLES, only=["audio"]),
        dict(name="pad_series", length=5, only=["tokens"]),
    ]
    config.device_preprocess = [dict(name="mfcc", rate=8000)]
    config.model = dict(name="blstm_ctc")
    config.task = dict(name="ctc", inputs=["audio", "audio_mask"])
    config.optimizer = dict(
        name="adam",
        learning_rate=3e-3,
        clip=dict(global_norm=1.0),
        schedule=dict(name="cosine", warmup="1 epoch"),
    )
    config.total = "20 epochs"
    config.evaluate = dict(
        test=dict(kind="metrics", every="5 epochs"),
        prefixes=dict(kind="prefix_search", width=10, every="100%"),
    )
    config.checkpoint = dict(every="5 epochs", best="test/label_error_rate", mode="min")
    config.log_every = "20 steps"
    config.seed = 0
    return config
