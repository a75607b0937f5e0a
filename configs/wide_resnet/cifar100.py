"""WRN-28-10 on CIFAR-100, without and with dropout.

System:    Wide ResNet (Zagoruyko & Komodakis 2016, arXiv 1605.07146): classify images
Command:   python -m experiments.prepare --dataset=cifar100
           python -m experiments.train --config=configs/wide_resnet/cifar100.py:wrn28_10
Hardware:  one GPU; not run here. `:smoke` is a narrow network on noise, on two CPU cores.
Expected:  test/accuracy 0.8075 (:wrn28_10) and 0.8115 (:wrn28_10_dropout), medians of five runs
Source:    Zagoruyko and Komodakis 2016, "Wide Residual Networks"; the figures are from
           szagoruyko/wide-residual-networks, README, for normalization by mean and deviation (19.25
           and 18.85 % error). The recipe is from its scripts/train_cifar.sh and train.lua: batches
           of 128, Nesterov momentum, rate 0.1 times 0.2 at epochs 60, 120 and 160 of 200, weight
           decay 5e-4 on all params, flips, crops from 4 pixels of reflection.

The original drops the last, smaller batch of each epoch.
"""

from ml_collections import ConfigDict

from library import presets

# Dropout, reported accuracy.
VARIANTS = {
    "wrn28_10": (0.0, 0.8075),
    "wrn28_10_dropout": (0.3, 0.8115),
    "smoke": (0.3, None),
}


def get_config(variant: str = "wrn28_10") -> ConfigDict:
    dropout, reported = VARIANTS[variant]
    config = presets.in_memory("cifar100", batch_size=128)
    config.augment = [dict(name="flip_lr"), dict(name="random_crop", padding=4, mode="reflect")]
    config.normalize = presets.CIFAR100_COLOURS
    config.model = dict(
        name="wide_resnet", num_classes=100, depth=28, widen_factor=10, dropout=dropout
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
        presets.shrink(config, "synthetic/32x100")
        config.model.update(depth=10, widen_factor=1)
    return config
