"""DenseNet-BC on CIFAR-10: 100 layers with a growth of 12, and 250 layers with a growth of 24.

System:    DenseNet (Huang et al. 2016, arXiv 1608.06993): classify images
Command:   python -m experiments.prepare --dataset=cifar10
           python -m experiments.train --config=configs/densenet/cifar10.py:densenet_bc100
Hardware:  one GPU; not run here. `:smoke` is a small network on noise, on two CPU cores.
Expected:  test/accuracy 0.9549 (:densenet_bc100), 0.9638 (:densenet_bc250), 0.9476 (:densenet40)
Source:    Huang, Liu, van der Maaten and Weinberger 2017, "Densely connected convolutional
           networks", arXiv 1608.06993, section 4.2; figures from liuzhuang13/DenseNet, README,
           column "CIFAR-10+" (4.51, 3.62 and 5.24 % error), recipe also from its opts.lua: 300
           epochs in batches of 64, Nesterov momentum 0.9, rate 0.1 divided by 10 after half and
           three quarters of them, weight decay 1e-4 on all params, crops from 4 pixels of padding,
           flips, no dropout.

With little memory, `--config.model.remat=true` stores fewer activations and computes somewhat more.
`:densenet_bc100_jpeg` reads `cifar10_jpeg`, the same images after JPEG compression: there are no
published results for them.
"""

from ml_collections import ConfigDict

from library import presets

# Model, dataset, reported accuracy.
VARIANTS = {
    "densenet_bc100": ("densenet_bc100", "cifar10", 0.9549),
    "densenet_bc250": ("densenet_bc250", "cifar10", 0.9638),
    "densenet40": ("densenet40", "cifar10", 0.9476),
    "densenet_bc100_jpeg": ("densenet_bc100", "cifar10_jpeg", None),
    "smoke": ("densenet", "synthetic/32x10", None),
}


def get_config(variant: str = "densenet_bc100") -> ConfigDict:
    model, dataset, reported = VARIANTS[variant]
    config = presets.in_memory(dataset, batch_size=64, eval_batch_size=500)
    config.augment = [dict(name="random_crop", padding=4), dict(name="flip_lr")]
    config.normalize = presets.CIFAR10_COLOURS
    config.model = dict(name=f"densenet.{model}", num_classes=10)
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
        presets.shrink(config, dataset)
        config.model.update(block_sizes=[2, 2], growth=4)
    return config
