"""A CRNN that reads handwritten strings of 3 to 5 digits, joined from MNIST.

System:    CRNN (Shi et al. 2015, arXiv 1507.05717): recognize handwriting
Command:   python -m experiments.prepare --dataset=mnist_strings
           python -m experiments.train --config=configs/crnn/mnist_strings.py
Hardware:  two CPU cores
Expected:  no result is claimed; the aim of this project is test/label_error_rate 0.04
Source:    none on these strings
"""

from ml_collections import ConfigDict


def get_config(variant: str = "") -> ConfigDict:
    config = ConfigDict()
    config.dataset = dict(
        name="mnist_strings",
        train="train",
        test="test",
        batch_size=64,
        eval_batch_size=200,
        cache="device",
    )
    config.preprocess = [
        dict(name="select", keys=["image", "tokens"]),
        dict(name="decode", channels=1),
        dict(name="pad_width", width=176),
        dict(name="pad_series", length=5, only=["tokens"]),
    ]
    config.normalize = dict(mean=[0.13], std=[0.31])
    config.model = dict(name="crnn")
    config.task = dict(name="ctc", inputs=["image", "image_mask"])
    config.optimizer = dict(
        name="adam",
        learning_rate=2e-3,
        clip=dict(global_norm=1.0),
        schedule=dict(name="cosine", warmup="5%"),
    )
    config.total = "4 epochs"
    config.evaluate = dict(
        test=dict(kind="metrics", every="1 epoch"),
        search=dict(kind="string_search", length=2, lines=100, every="100%"),
    )
    config.checkpoint = dict(every="1 epoch", best="test/label_error_rate", mode="min")
    config.log_every = "50 steps"
    config.seed = 0
    return config
