"""VGG-16 and VGG-19 with batch normalization on CIFAR-100.

System:    VGG (Simonyan & Zisserman 2014, arXiv 1409.1556): classify images
Command:   python -m experiments.prepare --dataset=cifar100
           python -m experiments.train --config=configs/vgg/cifar100.py:vgg16_bn
Hardware:  one GPU; not run here. `:smoke` is a narrow network on noise, on two CPU cores.
Expected:  test/accuracy 0.7400 (:vgg16_bn), 0.7195 (:vgg19_bn)
Source:    :vgg16_bn is from chenyaofo/pytorch-cifar-models, README and logs: two hidden layers of
           512 units, 15.3 M params, 200 epochs in batches of 256, Nesterov momentum, rate 0.1 on a
           cosine, weight decay 5e-4.
           :vgg19_bn is from bearpaw/pytorch-classification, README and TRAINING.md: no hidden
           layer, 164 epochs in batches of 128, the rate divided by 10 at 81 and 122.

Both decay all params, crop from 4 pixels of padding and flip. The figures are from the epoch with
the best test accuracy. bearpaw normalizes with the statistics of CIFAR-10.
"""

from ml_collections import ConfigDict

from library import presets

# Model, hidden layers, reported accuracy, source.
VARIANTS = {
    "vgg16_bn": ("vgg16_bn", [512, 512], 0.7400, "chenyaofo/pytorch-cifar-models"),
    "vgg19_bn": ("vgg19_bn", [], 0.7195, "bearpaw/pytorch-classification"),
    "smoke": ("vgg11_bn", [], None, ""),
}


def get_config(variant: str = "vgg16_bn") -> ConfigDict:
    model, hidden, reported, source = VARIANTS[variant]
    config = presets.in_memory("cifar100", batch_size=256 if hidden else 128)
    config.augment = [dict(name="random_crop", padding=4), dict(name="flip_lr")]
    config.normalize = presets.CIFAR100_COLOURS
    config.model = dict(name=f"vgg.{model}", num_classes=100, pool_size=1, hidden_sizes=hidden)
    config.task = dict(name="classification")
    config.optimizer = dict(
        name="sgd",
        learning_rate=0.1,
        momentum=0.9,
        nesterov=bool(hidden),
        weight_decay=5e-4,
        decayed="all",
        schedule=dict(name="cosine"),
    )
    config.total = "200 epochs"
    if variant == "vgg19_bn":
        boundaries = ["81 epochs", "122 epochs"]
        config.optimizer.schedule = dict(name="step", boundaries=boundaries, factor=0.1)
        config.total = "164 epochs"
    if reported is not None:
        config.reported = dict(metric="test/accuracy", value=reported, source=source)
    if variant == "smoke":
        presets.shrink(config, "synthetic/32x100")
        config.model.width = 8
    return config
