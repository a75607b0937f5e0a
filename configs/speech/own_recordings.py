"""Your own recordings: a class for each, or ratings, such as the valence and arousal of a voice.

System:    Classifiers of your recordings (Sainath & Parada 2015, "Convolutional neural networks for
           small-footprint keyword spotting"): classify and rate recordings
Command:   python -m experiments.train --config=configs/speech/own_recordings.py:classes \\
               --config.dataset.data_dir=recordings
Hardware:  two CPU cores for some thousand recordings of a few seconds
Expected:  depends on the recordings
Source:    none: the recordings are yours

`:classes` reads one directory for each class, such as the emotion of a voice:
recordings/calm/1.wav. `:ratings` reads recordings/ratings.csv: a column `file`, and a column of
numbers for each rating. Recordings become 16,000 samples a second; 4 seconds are read.
"""

from ml_collections import ConfigDict

# What each recording has, and how it is learnt.
VARIANTS = {
    "classes": ("label", dict(name="classification", label_smoothing=0.1), "test/accuracy"),
    "ratings": ("target", dict(name="regression"), "test/r2"),
}
RATE, SECONDS = 16_000, 4


def get_config(variant: str = "classes") -> ConfigDict:
    known, task, best = VARIANTS[variant]
    config = ConfigDict()
    config.dataset = dict(
        name="audio_folder",
        data_dir="recordings",
        train="train[:80%]",
        test="train[80%:]",
        batch_size=32,
    )
    config.preprocess = [
        dict(name="select", keys=["audio", known]),
        dict(name="decode_audio", rate=RATE),
        dict(name="pad_series", length=RATE * SECONDS, crop="start"),
    ]
    config.device_preprocess = [dict(name="log_mel", rate=RATE, bands=64)]
    config.augment = [dict(name="spec_augment", time_width=30, time_share=0.2, band_width=10)]
    config.model = dict(name="speech.cnn")
    config.task = dict(task, inputs=["audio", "audio_mask"])
    config.optimizer = dict(
        name="adamw",
        learning_rate=1e-3,
        weight_decay=0.01,
        clip=dict(global_norm=1.0),
        schedule=dict(name="cosine", warmup="5%"),
    )
    config.total = "40 epochs"
    config.evaluate = dict(test=dict(kind="metrics", every="10%"))
    config.checkpoint = dict(every="10%", best=best)
    config.log_every = "20 steps"
    config.seed = 0
    return config
