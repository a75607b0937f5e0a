"""VGG-16 and VGG-19 with batch normalization on CIFAR-10.

System:    VGG (Simonyan & Zisserman 2014, arXiv 1409.1556): classify images
Command:   python -m experiments.prepare --dataset=cifar10
           python -m experiments.train --config=configs/vgg/cifar10.py:vgg16_bn
Hardware:  one GPU; not run here. `:smoke` is a narrow network on noise, on two CPU cores.
Expected:  test/accuracy 0.9264 (:vgg16_bn), 0.9416 (:vgg16_bn_hidden), 0.9334 (:vgg19_bn)
Source:    Simonyan and Zisserman 2014, arXiv 1409.1556, and common recipes for CIFAR.
           :vgg16_bn is from kuangliu/pytorch-cifar, 14.7 M params: batches of 128, rate 0.1,
           momentum 0.9, weight decay 5e-4. The figure of its README is from 350 epochs with the
           rate divided by 10 at 150 and 250. Its program now uses a cosine over 200 epochs, and so
           does this recipe.
           :vgg16_bn_hidden is from chenyaofo/pytorch-cifar-models, README and logs: two hidden
           layers of 512 units, 15.3 M params, batches of 256, Nesterov momentum, a cosine over 200
           epochs.
           :vgg19_bn is from bearpaw/pytorch-classification, README and TRAINING.md, 20.0 M params:
           164 epochs in batches of 128, the rate divided by 10 at 81 and 122.

All three decay all params, crop from 4 pixels of padding and flip. The figures are from the epoch
with the best test accuracy. The first and the last normalize by smaller deviations, 0.2023, 0.1994
and 0.2010, and change their rates once per epoch.

`:vgg16_bn_jpeg` reads `cifar10_jpeg`, the same images after JPEG compression: there are no
published results for them.
"""

from ml_collections import ConfigDict

from library import presets

# Model, hidden layers, reported accuracy, source.
VARIANTS = {
    "vgg16_bn": ("vgg16_bn", [], 0.9264, "kuangliu/pytorch-cifar"),
    "vgg16_bn_hidden": ("vgg16_bn", [512, 512], 0.9416, "chenyaofo/pytorch-cifar-models"),
    "vgg19_bn": ("vgg19_bn", [], 0.9334, "bearpaw/pytorch-classification"),
    "vgg16_bn_jpeg": ("vgg16_bn", [], None, ""),
    "smoke": ("vgg11_bn", [], None, ""),
}


def get_config(variant: str = "vgg16_bn") -> ConfigDict:
    model, hidden, reported, source = VARIANTS[variant]
    config = presets.in_memory(
        "cifar10_jpeg" if variant.endswith("_jpeg") else "cifar10", batch_size=128
    )
    config.augment = [dict(name="random_crop", padding=4), dict(name="flip_lr")]
    config.normalize = presets.CIFAR10_COLOURS
    config.model = dict(name=f"vgg.{model}", num_classes=10, pool_size=1, hidden_sizes=hidden)
    config.task = dict(name="classification")
    config.optimizer = dict(
        name="sgd",
        learning_rate=0.1,
        momentum=0.9,
        weight_decay=5e-4,
        decayed="all",
        schedule=dict(name="cosine"),
    )
    config.total = "200 epochs"
    if hidden:
        config.dataset.batch_size = 256
        config.optimizer.nesterov = True
    if variant == "vgg19_bn":
        boundaries = ["81 epochs", "122 epochs"]
        config.optimizer.schedule = dict(name="step", boundaries=boundaries, factor=0.1)
        config.total = "164 epochs"
    if reported is not None:
        config.reported = dict(metric="test/accuracy", value=reported, source=source)
    if variant == "smoke":
        presets.shrink(config, "synthetic/32x10")
        config.model.width = 8
    return config
