"""The pre-activation ResNet with 164 layers on CIFAR-100.

System:    Pre-activation ResNet (He et al. 2016, arXiv 1603.05027): classify images
Command:   python -m experiments.prepare --dataset=cifar100
           python -m experiments.train --config=configs/preact_resnet/cifar100.py:resnet164
Hardware:  one GPU; not run here. `:smoke` is a narrow network on noise, on two CPU cores.
Expected:  test/accuracy 0.7567 (:resnet164), 0.7635 (:resnet164_bearpaw)
Source:    He et al. 2016, "Identity mappings in deep residual networks", arXiv 1603.05027: batches
           of 128, momentum 0.9, rate 0.1 divided by 10 at 32k and 48k of 64k updates and 0.01 in
           the first 400, weight decay 1e-4, crops from 4 pixels of padding, flips; 24.33 % error,
           the median of five runs, as quoted in szagoruyko/wide-residual-networks, README.
           :resnet164_bearpaw is the "PreResNet-110" of bearpaw/pytorch-classification, README and
           TRAINING.md, whose 3 x 18 blocks are bottlenecks (1.70 M params): 164 epochs, the rate
           divided by 10 at 81 and 122; the figure is from the epoch with the best test accuracy.

The paper subtracts the mean of each pixel and does not scale. Here channels are normalized.
"""

from ml_collections import ConfigDict

from library import presets

# Model, reported accuracy, source.
VARIANTS = {
    "resnet164": ("resnet164_v2", 0.7567, "He et al. 2016, in szagoruyko/wide-residual-networks"),
    "resnet164_bearpaw": ("resnet164_v2", 0.7635, "bearpaw/pytorch-classification"),
    "smoke": ("resnet20_v2", None, ""),
}


def get_config(variant: str = "resnet164") -> ConfigDict:
    model, reported, source = VARIANTS[variant]
    config = presets.in_memory("cifar100", batch_size=128)
    config.augment = [dict(name="random_crop", padding=4), dict(name="flip_lr")]
    config.normalize = presets.CIFAR100_COLOURS
    config.model = dict(name=f"resnet.{model}", num_classes=100)
    config.task = dict(name="classification")
    config.optimizer = dict(
        name="sgd",
        learning_rate=0.1,
        momentum=0.9,
        weight_decay=1e-4,
        decayed="all",
        schedule=dict(
            name="piecewise",
            boundaries=["400 steps", "50%", "75%"],
            fractions=[0.1, 1.0, 0.1, 0.01],
        ),
    )
    config.total = "64000 steps"
    if variant == "resnet164_bearpaw":
        boundaries = ["81 epochs", "122 epochs"]
        config.optimizer.schedule = dict(name="step", boundaries=boundaries, factor=0.1)
        config.total = "164 epochs"
    if reported is not None:
        config.reported = dict(metric="test/accuracy", value=reported, source=source)
    if variant == "smoke":
        presets.shrink(config, "synthetic/32x100")
        config.model.width = 4
    return config
