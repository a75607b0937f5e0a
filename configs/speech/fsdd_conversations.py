"""Who speaks when, in conversations of two or three people that say digits.

System:    Diarization by x-vectors (Garcia-Romero et al. 2017, "Speaker diarization using deep
           neural network embeddings"): tell who speaks when
Command:   python -m experiments.prepare --dataset=fsdd
           python -m experiments.prepare --dataset=fsdd_conversations
           python -m experiments.train --config=configs/speech/fsdd_conversations.py
Hardware:  two CPU cores, a few minutes
Expected:  no result is claimed; diarization/error_rate is 0 without errors
Source:    none on these recordings, which this project joins

The network is that of configs/speech/fsdd_voices.py. It learns six voices from half a second of a
digit, and its features of each half second of a conversation are clustered. Which frames hold
speech is given. Training has heard the six people, in other recordings. "validation" is there to
choose the threshold of the clusters: its conversations are of the recordings of training.
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
        dict(name="pad_series", length=4000, crop="start"),
    ]
    conversation = [
        dict(name="select", keys=["audio", "turns"]),
        dict(name="pad_series", length=308_000, only=["audio"]),
        dict(name="pad_series", length=3850, only=["turns"]),
    ]
    config.splits = {
        name: dict(dataset="fsdd_conversations", split=split, preprocess=conversation)
        for name, split in (("conversations", "test"), ("validation", "train"))
    }
    config.device_preprocess = [
        dict(name="mfcc", rate=8000, coefficients=20, energy=False, derivatives=0, normalize="none")
    ]
    config.model = dict(name="speech.tdnn", num_classes=6)
    config.task = dict(name="classification", inputs=["audio", "audio_mask"], num_classes=6)
    config.optimizer = dict(
        name="adamw", learning_rate=2e-3, weight_decay=0.01, schedule=dict(name="cosine")
    )
    config.total = "10 epochs"
    found = dict(kind="diarization", threshold=0.3, batch_size=4, every="100%")
    config.evaluate = dict(
        test=dict(kind="metrics", every="50%"),
        diarization=dict(found, split="conversations"),
        validation=dict(found, split="validation"),
    )
    config.checkpoint = dict(every="50%")
    config.log_every = "50 steps"
    config.seed = 0
    return config
