"""ResNets on CIFAR-10: those of He et al. 2016 for small images, and ResNet-18 with a 3x3 stem.

System:    ResNet (He et al. 2015, arXiv 1512.03385): classify images
Command:   python -m experiments.prepare --dataset=cifar10
           python -m experiments.train --config=configs/resnet/cifar10.py:resnet20
Hardware:  one GPU (not run here), or two CPU cores for :resnet20_jpeg_hour; `:smoke` is a narrow
           network on noise
Expected:  test/accuracy 0.9125, 0.9249, 0.9283, 0.9303, 0.9357 for 20 to 110 layers, 0.9302 for
           :resnet18
Source:    He et al. 2016, "Deep Residual Learning for Image Recognition", section 4.2 and table 6
           (errors 8.75, 7.51, 7.17, 6.97, and 6.43, the best of five): batches of 128, rate 0.1
           divided by 10 at 32k and 48k of 64k updates, momentum 0.9, weight decay 1e-4, crops from
           4 pixels of padding and flips. For 110 layers the rate is 0.01 at first, "about 400
           iterations". The length was chosen on a split into 45k and 5k images. The figures are for
           "the training set", which this recipe takes to be all 50k.
           ResNet-18: kuangliu/pytorch-cifar, README: rate 0.1, momentum 0.9, weight decay 5e-4. Its
           figure is from 350 epochs with the rate divided by 10 at 150 and 250. Its program now
           uses a cosine over 200 epochs, and so does this recipe.

The paper subtracts the mean of each pixel, does not scale, and pads after that. Here images are
padded with black, and then channels are normalized. The paper has batch statistics of each of two
GPUs.

The `_jpeg` variants read `cifar10_jpeg`, the same images after JPEG compression at quality 75:
there are no published results for them.
"""

from ml_collections import ConfigDict

from library import presets

# Model, dataset, length, reported accuracy.
VARIANTS = {
    "resnet20": ("resnet20", "cifar10", "64000 steps", 0.9125),
    "resnet32": ("resnet32", "cifar10", "64000 steps", 0.9249),
    "resnet44": ("resnet44", "cifar10", "64000 steps", 0.9283),
    "resnet56": ("resnet56", "cifar10", "64000 steps", 0.9303),
    "resnet110": ("resnet110", "cifar10", "64000 steps", 0.9357),
    "resnet18": ("resnet18", "cifar10", "200 epochs", 0.9302),
    "resnet20_jpeg": ("resnet20", "cifar10_jpeg", "64000 steps", None),
    "resnet18_jpeg": ("resnet18", "cifar10_jpeg", "200 epochs", None),
    "resnet20_jpeg_hour": ("resnet20", "cifar10_jpeg", "10 epochs", None),
    "smoke": ("resnet20", "synthetic/32x10", "3 steps", None),
}


def get_config(variant: str = "resnet20") -> ConfigDict:
    model, dataset, total, reported = VARIANTS[variant]
    config = presets.in_memory(dataset, batch_size=128)
    config.augment = [dict(name="random_crop", padding=4), dict(name="flip_lr")]
    config.normalize = presets.CIFAR10_COLOURS
    config.model = dict(name=f"resnet.{model}", num_classes=10)
    config.task = dict(name="classification")
    config.optimizer = dict(
        name="sgd", learning_rate=0.1, momentum=0.9, weight_decay=1e-4, decayed="all"
    )
    if model == "resnet18":
        config.model.update(stem="cifar", zero_init=False)
        config.optimizer.update(weight_decay=5e-4, schedule=dict(name="cosine"))
    elif variant.endswith("_hour"):
        # The run is too short for steps of a constant rate; one cycle gives the best accuracy in an
        # hour.
        config.optimizer.update(
            nesterov=True, schedule=dict(name="one_cycle", peak="25%", start=0.1, final=0.0)
        )
    elif model == "resnet110":
        config.optimizer.schedule = dict(
            name="piecewise",
            boundaries=["400 steps", "50%", "75%"],
            fractions=[0.1, 1.0, 0.1, 0.01],
        )
    else:
        config.optimizer.schedule = dict(name="step", boundaries=["50%", "75%"], factor=0.1)
    config.total = total
    if reported is not None:
        config.reported = dict(
            metric="test/accuracy",
            value=reported,
            source="kuangliu/pytorch-cifar" if model == "resnet18" else "He et al. 2016, table 6",
        )
    if variant == "smoke":
        presets.shrink(config, dataset)
        config.model.width = 4
    return config
