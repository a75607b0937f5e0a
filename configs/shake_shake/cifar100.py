"""Shake-Shake on CIFAR-100: a ResNeXt with two branches, 29 layers and four groups of 64 channels.

System:    Shake-Shake (Gastaldi 2017, arXiv 1705.07485): classify images
Command:   python -m experiments.prepare --dataset=cifar100
           python -m experiments.train --config=configs/shake_shake/cifar100.py:even
Hardware:  two GPUs in the original; not run here. `:smoke` is a narrow network on noise, on two CPU
           cores.
Expected:  test/accuracy 0.8415
Source:    Gastaldi 2017, "Shake-Shake regularization", arXiv 1705.07485, section 2.2 and abstract,
           15.85 % error, the mean of three runs with weights that are drawn in the forward pass and
           even in the backward pass; recipe from xgastaldi/shake-shake, README: 1800 epochs in
           batches of 32, Nesterov momentum 0.9, rate 0.025 on a cosine, weight decay 5e-4 on all
           params, crops from 4 pixels of padding, flips.

The original has batch statistics of each of two GPUs, and draws its weights on each. Its cosine
changes once per epoch. This recipe assumes that a block that changes the width has the shortcut of
ResNeXt.
"""

from ml_collections import ConfigDict

from library import presets

# Reported accuracy.
VARIANTS = {"even": 0.8415, "smoke": None}


def get_config(variant: str = "even") -> ConfigDict:
    reported = VARIANTS[variant]
    config = presets.in_memory("cifar100", batch_size=32)
    config.augment = [dict(name="random_crop", padding=4), dict(name="flip_lr")]
    config.normalize = presets.CIFAR100_COLOURS
    config.model = dict(name="shake_shake.shake_shake29", num_classes=100, backward="even")
    config.task = dict(name="classification")
    config.optimizer = dict(
        name="sgd",
        learning_rate=0.025,
        momentum=0.9,
        nesterov=True,
        weight_decay=5e-4,
        decayed="all",
        schedule=dict(name="cosine"),
    )
    config.total = "1800 epochs"
    config.evaluate = dict(test=dict(kind="metrics", every="10 epochs"))
    config.checkpoint = dict(every="10 epochs", best="test/accuracy")
    if reported is not None:
        config.reported = dict(metric="test/accuracy", value=reported, source="Gastaldi 2017")
    if variant == "smoke":
        presets.shrink(config, "synthetic/32x100")
        config.model.update(width=8, cardinality=2)
    return config
