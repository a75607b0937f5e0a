"""ResNets on CIFAR-100: those of He et al. 2016 for small images, and ResNet-18 with a 3x3 stem.

System:    ResNet (He et al. 2015, arXiv 1512.03385): classify images
Command:   python -m experiments.prepare --dataset=cifar100
           python -m experiments.train --config=configs/resnet/cifar100.py:resnet20
Hardware:  one GPU; not run here. `:smoke` is a narrow network on noise, on two CPU cores.
Expected:  test/accuracy 0.6883, 0.7016, 0.7163, 0.7263 for 20 to 56 layers, 0.7561 for :resnet18;
           for 110 layers there is no published result with this recipe
Source:    He et al. 2016, "Deep residual learning for image recognition", section 4.2, which only
           has CIFAR-10.
           20 to 56 layers: chenyaofo/pytorch-cifar-models, README and logs: 200 epochs in batches
           of 256, Nesterov momentum 0.9, rate 0.1 on a cosine, weight decay 5e-4 on all params,
           crops from 4 pixels of padding, flips. The figures are from the epoch with the best test
           accuracy.
           ResNet-18: weiaicunzai/pytorch-cifar100, README (24.39 % error), train.py and utils.py:
           200 epochs in batches of 128, rate 0.1 times 0.2 at epochs 60, 120 and 160, one epoch of
           warmup, momentum 0.9, weight decay 5e-4. Its README says "Nesterov momentum of 0.9", but
           its train.py has none. :resnet18 follows the program (`--config.optimizer.nesterov=True`
           follows the README).

weiaicunzai also rotates training images by up to 15 degrees; this recipe does not. chenyaofo's
networks project the identity where a block changes the shape ("option B"), as here.
"""

from ml_collections import ConfigDict

from library import presets

# Reported accuracy.
VARIANTS = {
    "resnet20": 0.6883,
    "resnet32": 0.7016,
    "resnet44": 0.7163,
    "resnet56": 0.7263,
    "resnet110": None,
    "resnet18": 0.7561,
    "smoke": None,
}


def get_config(variant: str = "resnet20") -> ConfigDict:
    reported = VARIANTS[variant]
    config = presets.in_memory("cifar100", batch_size=256)
    config.augment = [dict(name="random_crop", padding=4), dict(name="flip_lr")]
    config.normalize = presets.CIFAR100_COLOURS
    config.model = dict(name=f"resnet.{variant}", num_classes=100, shortcut="projection")
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
    source = "chenyaofo/pytorch-cifar-models"
    if variant == "resnet18":
        source = "weiaicunzai/pytorch-cifar100"
        config.dataset.batch_size = 128
        config.model = dict(name="resnet.resnet18", num_classes=100, stem="cifar", zero_init=False)
        boundaries = ["60 epochs", "120 epochs", "160 epochs"]
        config.optimizer.update(
            nesterov=False,
            schedule=dict(name="step", boundaries=boundaries, factor=0.2, warmup="1 epoch"),
        )
    if reported is not None:
        config.reported = dict(metric="test/accuracy", value=reported, source=source)
    if variant == "smoke":
        presets.shrink(config, "synthetic/32x100")
        config.model.update(name="resnet.resnet20", width=4)
    return config
