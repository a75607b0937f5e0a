"""MobileNetV3 on ImageNet-1k, by torchvision's recipe.

System:    MobileNet v3 (Howard et al. 2019, arXiv 1905.02244): classify images
Command:   python -m experiments.prepare --dataset=imagenet2012 --manual_dir=DIR
           python -m experiments.train --config=configs/mobilenet_v3/imagenet.py:large
Hardware:  eight devices; not run here. `:smoke` is a narrow network on noise, on two CPU cores.
Expected:  test/accuracy 0.7404 (:large) and 0.6767 (:small)
Source:    torchvision, weights MobileNet_V3_Large_Weights.IMAGENET1K_V1 (74.042, 91.340) and Small
           (67.668, 87.402); pytorch/vision, references/classification/README.md: 600 epochs, 128
           images on each of eight devices, RMSprop, rate 0.064 times 0.973 every two epochs, decay
           1e-5 of all params, AutoAugment, erasing with probability 0.2; train.py: RMSprop with 0.9
           and 0.9, epsilon 0.0316 outside the square root.
           Howard et al. 2019, "Searching for MobileNetV3", arXiv 1905.02244, report 75.2 and 67.4
           (table 3), trained on TPUs.

Under `pmap` each device has its own batch statistics, as in the original: keep 128 images per
device.

What differs: the original's results are for the mean of the params of the last three checkpoints
with a new best accuracy (pull requests 3182 and 3354), and here for the last params. Here the rate
multiplies the input of the momentum, and in PyTorch's RMSprop its output. Erasing is to grey, not
to the mean of each channel. Warps take the nearest pixel.
"""

from ml_collections import ConfigDict

from library import presets

VARIANTS = {"large": 0.74042, "small": 0.67668, "smoke": None}


def get_config(variant: str = "large") -> ConfigDict:
    config = presets.imagenet(batch_size=1024)
    config.preprocess = presets.crops()
    config.augment = [
        dict(name="flip_lr"),
        dict(name="auto_augment", policy="imagenet", fill=0.0),
        dict(name="random_erasing", probability=0.2, area=[0.02, 0.33], fill=0.45),
    ]
    config.normalize = presets.IMAGENET_COLOURS
    size = "small" if variant == "smoke" else variant
    config.model = dict(name=f"mobilenet_v3.mobilenet_v3_{size}", num_classes=1000, dropout=0.2)
    config.task = dict(name="classification")
    config.optimizer = dict(
        name="rmsprop",
        learning_rate=0.064,
        decay=0.9,
        momentum=0.9,
        eps=0.0316,
        eps_in_sqrt=False,
        weight_decay=1e-5,
        decayed="all",
        schedule=dict(name="exponential", factor=0.973, every="2 epochs", staircase=True),
    )
    config.total = "600 epochs"
    config.parallel = dict(strategy="pmap")
    if variant == "smoke":
        presets.shrink(config, size=64, num_classes=10, width_multiplier=0.25)
    else:
        config.reported = dict(
            metric="test/accuracy",
            value=VARIANTS[variant],
            source=f"torchvision, MobileNet_V3_{variant.title()}_Weights.IMAGENET1K_V1",
        )
    return config
