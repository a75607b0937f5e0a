"""Pre-activation ResNets on CIFAR-10: 164 layers with bottlenecks, and ResNet-18.

System:    Pre-activation ResNet (He et al. 2016, arXiv 1603.05027): classify images
Command:   python -m experiments.prepare --dataset=cifar10
           python -m experiments.train --config=configs/preact_resnet/cifar10.py:resnet164
Hardware:  one GPU; not run here. `:smoke` is a narrow network on noise, on two CPU cores.
Expected:  test/accuracy 0.9454 (:resnet164), 0.9506 (:resnet164_bearpaw), 0.9511 (:resnet18)
Source:    He et al. 2016, "Identity mappings in deep residual networks", arXiv 1603.05027: batches
           of 128, momentum 0.9, rate 0.1 divided by 10 at 32k and 48k of 64k updates and 0.01 in
           the first 400, weight decay 1e-4, crops from 4 pixels of padding, flips; 5.46 % error,
           the median of five runs, as quoted in szagoruyko/wide-residual-networks, README.
           :resnet164_bearpaw is the "PreResNet-110" of bearpaw/pytorch-classification, README and
           TRAINING.md, whose 3 x 18 blocks are bottlenecks (1.70 M params): 164 epochs, the rate
           divided by 10 at 81 and 122; the figure is from the epoch with the best test accuracy.
           :resnet18 is from kuangliu/pytorch-cifar, README and main.py: weight decay 5e-4, a cosine
           over 200 epochs; its figure is from an older recipe, see configs/resnet/cifar10.py.

The paper subtracts the mean of each pixel and does not scale. Here channels are normalized.
kuangliu's network does not normalize and rectify the last features, and the network here does.
"""

from ml_collections import ConfigDict

from library import presets

# Model, reported accuracy, source.
VARIANTS = {
    "resnet164": ("resnet164_v2", 0.9454, "He et al. 2016, in szagoruyko/wide-residual-networks"),
    "resnet164_bearpaw": ("resnet164_v2", 0.9506, "bearpaw/pytorch-classification"),
    "resnet18": ("resnet18_v2", 0.9511, "kuangliu/pytorch-cifar"),
    "smoke": ("resnet20_v2", None, ""),
}


def get_config(variant: str = "resnet164") -> ConfigDict:
    model, reported, source = VARIANTS[variant]
    config = presets.in_memory("cifar10", batch_size=128)
    config.augment = [dict(name="random_crop", padding=4), dict(name="flip_lr")]
    config.normalize = presets.CIFAR10_COLOURS
    config.model = dict(name=f"resnet.{model}", num_classes=10, zero_init=False)
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
    if variant == "resnet18":
        config.model.stem = "cifar"
        config.optimizer.weight_decay = 5e-4
        config.optimizer.schedule = dict(name="cosine")
        config.total = "200 epochs"
    if reported is not None:
        config.reported = dict(metric="test/accuracy", value=reported, source=source)
    if variant == "smoke":
        presets.shrink(config, "synthetic/32x10")
        config.model.width = 4
    return config
