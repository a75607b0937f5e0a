"""WRN-28-10 on CIFAR-10, without and with dropout.

System:    Wide ResNet (Zagoruyko & Komodakis 2016, arXiv 1605.07146): classify images
Command:   python -m experiments.prepare --dataset=cifar10
           python -m experiments.train --config=configs/wide_resnet/cifar10.py:wrn28_10
Hardware:  one GPU; not run here. On CPU a step takes minutes; `:smoke` is WRN-10-1 on noise.
Expected:  test/accuracy 0.9600 (:wrn28_10) and 0.9611 (:wrn28_10_dropout), medians of five runs
Source:    Zagoruyko and Komodakis 2016, "Wide Residual Networks"; the figures are from
           szagoruyko/wide-residual-networks, README, for normalization by mean and deviation (4.00
           and 3.89 % error). The recipe is from its scripts/train_cifar.sh and train.lua: batches
           of 128, Nesterov momentum, rate 0.1 times 0.2 at epochs 60, 120 and 160 of 200, weight
           decay 5e-4 on all params, flips, crops from 4 pixels of reflection.

The original drops the last, smaller batch of each epoch. The `_jpeg` variants read `cifar10_jpeg`,
the same images after JPEG compression: there are no published results for them.
"""

from ml_collections import ConfigDict

from library import presets

# Dropout, dataset, reported accuracy.
VARIANTS = {
    "wrn28_10": (0.0, "cifar10", 0.9600),
    "wrn28_10_dropout": (0.3, "cifar10", 0.9611),
    "wrn28_10_jpeg": (0.0, "cifar10_jpeg", None),
    "wrn28_10_dropout_jpeg": (0.3, "cifar10_jpeg", None),
    "smoke": (0.3, "synthetic/32x10", None),
}


def get_config(variant: str = "wrn28_10") -> ConfigDict:
    dropout, dataset, reported = VARIANTS[variant]
    config = presets.in_memory(dataset, batch_size=128)
    config.augment = [dict(name="flip_lr"), dict(name="random_crop", padding=4, mode="reflect")]
    config.normalize = dict(
        mean=[125.3 / 255, 123.0 / 255, 113.9 / 255], std=[63.0 / 255, 62.1 / 255, 66.7 / 255]
    )
    config.model = dict(
        name="wide_resnet", num_classes=10, depth=28, widen_factor=10, dropout=dropout
    )
    config.task = dict(name="classification")
    config.optimizer = dict(
        name="sgd",
        learning_rate=0.1,
        momentum=0.9,
        nesterov=True,
        weight_decay=5e-4,
        decayed="all",
        schedule=dict(
            name="step", boundaries=["60 epochs", "120 epochs", "160 epochs"], factor=0.2
        ),
    )
    config.total = "200 epochs"
    if reported is not None:
        config.reported = dict(
            metric="test/accuracy", value=reported, source="szagoruyko/wide-residual-networks"
        )
    if variant == "smoke":
        presets.shrink(config, dataset)
        config.model.update(depth=10, widen_factor=1)
    return config
