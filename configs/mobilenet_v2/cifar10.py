"""MobileNetV2 on CIFAR-10, without strides in the first convolution and the second group.

System:    MobileNet v2 (Sandler et al. 2018, arXiv 1801.04381): classify images
Command:   python -m experiments.prepare --dataset=cifar10
           python -m experiments.train --config=configs/mobilenet_v2/cifar10.py:x1_0
Hardware:  one GPU; not run here. `:smoke` is a narrow network on noise, on two CPU cores.
Expected:  test/accuracy 0.9379 (:x1_0), 0.9288 (:x0_5), 0.9422 (:x1_4), 0.9443 (:projected)
Source:    Sandler et al. 2018, arXiv 1801.04381, and common recipes for CIFAR.
           :x1_0, :x0_5 and :x1_4 are from chenyaofo/pytorch-cifar-models, README and logs, with
           exactly these networks: 200 epochs in batches of 256, Nesterov momentum 0.9, rate 0.1 on
           a cosine, weight decay 5e-4 on all params, crops from 4 pixels of padding, flips.
           :projected is from kuangliu/pytorch-cifar, README and main.py: shortcuts with 1x1
           convolutions where only the width changes, 2,296,922 params, batches of 128, momentum
           without Nesterov, no dropout, the rest as above.

The figures are from the epoch with the best test accuracy. kuangliu's network has relus that are
not clipped at 6, and normalizes by smaller deviations, 0.2023, 0.1994 and 0.2010.
"""

from ml_collections import ConfigDict

from library import presets

# Width multiplier, whether shortcuts are projected, reported accuracy, source.
VARIANTS = {
    "x1_0": (1.0, False, 0.9379, "chenyaofo/pytorch-cifar-models"),
    "x0_5": (0.5, False, 0.9288, "chenyaofo/pytorch-cifar-models"),
    "x1_4": (1.4, False, 0.9422, "chenyaofo/pytorch-cifar-models"),
    "projected": (1.0, True, 0.9443, "kuangliu/pytorch-cifar"),
    "smoke": (0.25, True, None, ""),
}


def get_config(variant: str = "x1_0") -> ConfigDict:
    width, projected, reported, source = VARIANTS[variant]
    config = presets.in_memory("cifar10", batch_size=128 if projected else 256)
    config.augment = [dict(name="random_crop", padding=4), dict(name="flip_lr")]
    config.normalize = presets.CIFAR10_COLOURS
    config.model = dict(
        name="mobilenet_v2",
        num_classes=10,
        width_multiplier=width,
        strides=[1, 1, 1, 2, 2, 1, 2, 1],
        projected=projected,
        dropout=0.0 if projected else 0.2,
    )
    config.task = dict(name="classification")
    config.optimizer = dict(
        name="sgd",
        learning_rate=0.1,
        momentum=0.9,
        nesterov=not projected,
        weight_decay=5e-4,
        decayed="all",
        schedule=dict(name="cosine"),
    )
    config.total = "200 epochs"
    if reported is not None:
        config.reported = dict(metric="test/accuracy", value=reported, source=source)
    if variant == "smoke":
        presets.shrink(config, "synthetic/32x10")
    return config
