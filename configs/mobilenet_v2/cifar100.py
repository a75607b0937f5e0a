"""MobileNetV2 on CIFAR-100, without strides in the first convolution and the second group.

System:    MobileNet v2 (Sandler et al. 2018, arXiv 1801.04381): classify images
Command:   python -m experiments.prepare --dataset=cifar100
           python -m experiments.train --config=configs/mobilenet_v2/cifar100.py:x1_0
Hardware:  one GPU; not run here. `:smoke` is a narrow network on noise, on two CPU cores.
Expected:  test/accuracy 0.7420 (:x1_0), 0.7088 (:x0_5), 0.7598 (:x1_4)
Source:    Sandler et al. 2018, arXiv 1801.04381; chenyaofo/pytorch-cifar-models, README and logs,
           which has exactly these networks: 200 epochs in batches of 256, Nesterov momentum 0.9,
           rate 0.1 on a cosine, weight decay 5e-4 on all params, crops from 4 pixels of padding,
           flips. Its figures are from the epoch with the best test accuracy.

weiaicunzai/pytorch-cifar100 reports 0.6808 for a network with more and earlier strides.
"""

from ml_collections import ConfigDict

from library import presets

# Width multiplier, reported accuracy.
VARIANTS = {
    "x1_0": (1.0, 0.7420),
    "x0_5": (0.5, 0.7088),
    "x1_4": (1.4, 0.7598),
    "smoke": (0.25, None),
}


def get_config(variant: str = "x1_0") -> ConfigDict:
    width, reported = VARIANTS[variant]
    config = presets.in_memory("cifar100", batch_size=256)
    config.augment = [dict(name="random_crop", padding=4), dict(name="flip_lr")]
    config.normalize = presets.CIFAR100_COLOURS
    config.model = dict(
        name="mobilenet_v2",
        num_classes=100,
        width_multiplier=width,
        strides=[1, 1, 1, 2, 2, 1, 2, 1],
    )
    config.task = dict(name="classification")
    config.optimizer = dict(
        name="sgd",
        learning_rate=0.1,
        momentum=0.9,
        nesterov=True,
        weight_decay=5e-4,
        decayed="all",
        schedule=dict(name="cosine"),
    )
    config.total = "200 epochs"
    if reported is not None:
        config.reported = dict(
            metric="test/accuracy", value=reported, source="chenyaofo/pytorch-cifar-models"
        )
    if variant == "smoke":
        presets.shrink(config, "synthetic/32x100")
    return config
