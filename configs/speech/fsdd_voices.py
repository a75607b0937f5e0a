"""Embeddings of voices: a time-delay network that tells six speakers apart, and verifies them.

System:    X-vectors (Snyder et al. 2018, "X-vectors: robust DNN embeddings for speaker
           recognition"): verify speakers
Command:   python -m experiments.prepare --dataset=fsdd
           python -m experiments.train --config=configs/speech/fsdd_voices.py
Hardware:  two CPU cores
Expected:  no result is claimed
Source:    none on these recordings

The evaluation scores pairs of test recordings by the cosine of their embeddings. Training has heard
the six people, in other recordings, so the error rate is lower than for strangers.
"""

from ml_collections import ConfigDict


def get_config(variant: str = "") -> ConfigDict:
    config = ConfigDict()
    config.dataset = dict(
        name="fsdd", train="train", test="test", batch_size=64, eval_batch_size=100, cache="device"
    )
    config.preprocess = [
        dict(name="select", keys=["audio", "speaker"]),
        dict(name="to_label", key="speaker"),
        dict(name="pad_series", length=8000, crop="start"),
    ]
    # The mean of a voice's spectrum tells who speaks.
    config.device_preprocess = [
        dict(name="mfcc", rate=8000, coefficients=20, energy=False, derivatives=0, normalize="none")
    ]
    config.model = dict(name="speech.tdnn", num_classes=6)
    config.task = dict(name="classification", inputs=["audio", "audio_mask"], num_classes=6)
    config.optimizer = dict(
        name="adamw", learning_rate=2e-3, weight_decay=0.01, schedule=dict(name="cosine")
    )
    config.total = "10 epochs"
    config.evaluate = dict(
        test=dict(kind="metrics", every="5 epochs"),
        voices=dict(kind="verification", every="100%"),
    )
    config.checkpoint = dict(every="5 epochs")
    config.log_every = "50 steps"
    config.seed = 0
    return config
