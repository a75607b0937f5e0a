"""C3D at an eighth of its width tells a moving digit and its direction.

System:    C3D (Tran et al. 2015, arXiv 1412.0767): classify clips
Command:   python -m experiments.prepare --dataset=moving_digits
           python -m experiments.train --config=configs/c3d/moving_digits.py:cpu
Hardware:  two CPU cores for :cpu, an accelerator of 16 GB for :paper
Expected:  no result is recorded yet; the aim is test/accuracy 0.97 or more, for the digit and the
           direction together (40 classes)
Source:    Tran et al. 2015, "Learning spatiotemporal features with 3D convolutional networks",
           whose data are other clips: 82.3 % on UCF-101 with a linear classifier

The data set is made by this project from MNIST (library/data/builders/moving_digits.py). `:cpu` has
an eighth of the channels and units of the paper's figure 3, `:paper` all of them. The optimizer is
Adam; the paper uses momentum.
"""

from ml_collections import ConfigDict

# Factor of the width, learning rate.
VARIANTS = {"cpu": (0.125, 1e-3), "paper": (1.0, 1e-4)}


def get_config(variant: str = "cpu") -> ConfigDict:
    width, rate = VARIANTS[variant]
    config = ConfigDict()
    config.dataset = dict(
        name="moving_digits", train="train", test="test", batch_size=32, eval_batch_size=50
    )
    config.preprocess = [dict(name="decode", channels=1)]
    config.normalize = dict(mean=[0.03], std=[0.14])
    config.model = dict(name="c3d", width_multiplier=width)
    config.task = dict(name="classification")
    config.optimizer = dict(
        name="adam", learning_rate=rate, schedule=dict(name="cosine", warmup="100 steps")
    )
    config.total = "8 epochs"
    config.evaluate = dict(test=dict(kind="metrics", every="25%"))
    config.checkpoint = dict(every="25%", best="test/accuracy")
    config.log_every = "50 steps"
    config.seed = 0
    return config
