"""Network in Network on CIFAR-10.

System:    Network in Network (Lin et al. 2014, arXiv 1312.4400): classify images
Command:   python -m experiments.prepare --dataset=cifar10
           python -m experiments.train --config=configs/nin/cifar10.py:nin
Hardware:  an accelerator of 8 GB; `:smoke` is a few steps on noise
Expected:  test/accuracy 0.9119 (8.81 % error)
Source:    Lin, Chen & Yan 2014, "Network in network", table 1: 8.81 % with translation and
           horizontal flips, 10.41 % without

The network and its dropout are the paper's. The paper whitens the images (global contrast
normalization and ZCA); here each channel is normalized. It lowers the rate by hand; here a cosine
does. Kernels start with a variance of 2 / fan-in.
"""

from ml_collections import ConfigDict

from library import presets

VARIANTS = {"nin": False, "smoke": True}


def get_config(variant: str = "nin") -> ConfigDict:
    config = presets.in_memory("cifar10", batch_size=128)
    config.preprocess = [dict(name="decode")]
    config.augment = [dict(name="flip_lr"), dict(name="random_crop", padding=4)]
    config.normalize = dict(presets.CIFAR10_COLOURS)
    config.model = dict(name="nin.nin_cifar", num_classes=10)
    config.task = dict(name="classification")
    config.optimizer = dict(
        name="sgd",
        learning_rate=0.05,
        momentum=0.9,
        weight_decay=1e-4,
        decayed="kernels",
        schedule=dict(name="cosine", warmup="5 epochs"),
    )
    config.total = "200 epochs"
    config.reported = dict(
        metric="test/accuracy", value=0.9119, source="Lin et al. 2014, table 1, with augmentation"
    )
    if VARIANTS[variant]:
        presets.shrink(config, "synthetic/32x10")
    return config
