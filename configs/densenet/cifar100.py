"""DenseNet-BC on CIFAR-100: 100 layers with a growth of 12, and 250 layers with a growth of 24.

System:    DenseNet (Huang et al. 2016, arXiv 1608.06993): classify images
Command:   python -m experiments.prepare --dataset=cifar100
           python -m experiments.train --config=configs/densenet/cifar100.py:densenet_bc100
Hardware:  one GPU; not run here. `:smoke` is a small network on noise, on two CPU cores.
Expected:  test/accuracy 0.7773 (:densenet_bc100), 0.8240 (:densenet_bc250), 0.7558 (:densenet40)
Source:    Huang, Liu, van der Maaten and Weinberger 2017, "Densely connected convolutional
           networks", arXiv 1608.06993, section 4.2; figures from liuzhuang13/DenseNet, README,
           column "CIFAR-100+" (22.27, 17.60 and 24.42 % error), recipe also from its opts.lua: 300
           epochs in batches of 64, Nesterov momentum 0.9, rate 0.1 divided by 10 after half and
           three quarters of them, weight decay 1e-4 on all params, crops from 4 pixels of padding,
           flips, no dropout.

With little memory, `--config.model.remat=true` stores fewer activations and computes somewhat more.
"""

from ml_collections import ConfigDict

from library import presets

# Reported accuracy.
VARIANTS = {
    "densenet_bc100": 0.7773,
    "densenet_bc250": 0.8240,
    "densenet40": 0.7558,
    "smoke": None,
}


def get_config(variant: str = "densenet_bc100") -> ConfigDict:
    reported = VARIANTS[variant]
    config = presets.in_memory("cifar100", batch_size=64, eval_batch_size=500)
    config.augment = [dict(name="random_crop", padding=4), dict(name="flip_lr")]
    config.normalize = presets.CIFAR100_COLOURS
    config.model = dict(name=f"densenet.{variant}", num_classes=100)
    config.task = dict(name="classification")
    config.optimizer = dict(
        name="sgd",
        learning_rate=0.1,
        momentum=0.9,
        nesterov=True,
        weight_decay=1e-4,
        decayed="all",
        schedule=dict(name="step", boundaries=["50%", "75%"], factor=0.1),
    )
    config.total = "300 epochs"
    if reported is not None:
        config.reported = dict(
            metric="test/accuracy", value=reported, source="liuzhuang13/DenseNet"
        )
    if variant == "smoke":
        presets.shrink(config, "synthetic/32x100")
        config.model = dict(name="densenet", num_classes=100, block_sizes=[2, 2], growth=4)
    return config
