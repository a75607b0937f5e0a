"""A small R(2+1)D network tells a moving digit and its direction.

System:    R(2+1)D (Tran et al. 2018, arXiv 1711.11248): classify clips
Command:   python -m experiments.prepare --dataset=moving_digits
           python -m experiments.train --config=configs/r2plus1d/moving_digits.py:cpu
Hardware:  two CPU cores for :cpu, an accelerator of 16 GB for :r18
Expected:  no result is recorded yet; the aim is test/accuracy 0.97 or more, for the digit and the
           direction together (40 classes)
Source:    Tran et al. 2018, "A closer look at spatiotemporal convolutions for action recognition",
           whose data are other clips, such as those of Kinetics

The data set is made by this project from MNIST (library/data/builders/moving_digits.py). `:cpu` has
three stages of one block and 16 channels at first, `:r18` is the network of 18 layers.
"""

from ml_collections import ConfigDict

VARIANTS = {
    "cpu": dict(name="r2plus1d", stage_sizes=[1, 1, 1], width=16),
    "r18": dict(name="r2plus1d.r2plus1d_18"),
}


def get_config(variant: str = "cpu") -> ConfigDict:
    config = ConfigDict()
    config.dataset = dict(
        name="moving_digits", train="train", test="test", batch_size=32, eval_batch_size=50
    )
    config.preprocess = [dict(name="decode", channels=1)]
    config.normalize = dict(mean=[0.03], std=[0.14])
    config.model = VARIANTS[variant]
    config.task = dict(name="classification")
    config.optimizer = dict(
        name="adamw",
        learning_rate=3e-3,
        weight_decay=0.01,
        schedule=dict(name="cosine", warmup="100 steps"),
    )
    config.total = "6 epochs"
    config.evaluate = dict(test=dict(kind="metrics", every="25%"))
    config.checkpoint = dict(every="25%", best="test/accuracy")
    config.log_every = "50 steps"
    config.seed = 0
    return config
