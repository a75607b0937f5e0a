"""Wide ResNet-50-2 on ImageNet-1k, by the recipe of the paper.

System:    Wide ResNet (Zagoruyko & Komodakis 2016, arXiv 1605.07146): classify images
Command:   python -m experiments.prepare --dataset=imagenet2012 --manual_dir=DIR
           python -m experiments.train --config=configs/wide_resnet/imagenet.py:paper
Hardware:  eight devices; not run here. `:smoke` is the network on small images of noise, on two CPU
           cores.
Expected:  test/accuracy 0.781 (:paper)
Source:    Zagoruyko & Komodakis 2016, "Wide residual networks" (arXiv 1605.07146), section 3 and
           table 8: WRN-50-2-bottleneck, errors of 21.9 and 6.03 for a single crop (21.9 and 5.79 in
           szagoruyko/wide-residual-networks, README), trained with fb.resnet.torch: 90 epochs,
           batches of 256, SGD, rate 0.1 divided by 10 every 30 epochs, Nesterov momentum 0.9,
           weight decay 1e-4, crops of 8 to 100 % of the area, flips, changes of brightness,
           contrast and saturation by up to 0.4 in random order, noise along the principal
           components.

torchvision's weights (Wide_ResNet50_2_Weights.IMAGENET1K_V1: 78.468, 94.086) are from another
recipe, of which only parts are published (pytorch/vision, pull request 912): a cosine with warm
restarts over 256 epochs, in half precision.

There is no known difference from the original. Keep 32 images per device: each device has its own
batch statistics. Weight decay is coupled, for all params.
"""

from ml_collections import ConfigDict

from library import presets

VARIANTS = {"paper": 0.781, "smoke": None}


def get_config(variant: str = "paper") -> ConfigDict:
    config = presets.imagenet(batch_size=256)
    config.preprocess = presets.crops()
    config.augment = presets.facebook_colours()
    config.normalize = presets.IMAGENET_COLOURS
    config.model = dict(name="wide_resnet.wide_resnet50_2", num_classes=1000, zero_init=False)
    config.task = dict(name="classification")
    config.optimizer = dict(
        name="sgd",
        learning_rate=0.1,
        momentum=0.9,
        nesterov=True,
        weight_decay=1e-4,
        decayed="all",
        schedule=dict(name="step", boundaries=["30 epochs", "60 epochs"], factor=0.1),
    )
    config.total = "90 epochs"
    config.parallel = dict(strategy="pmap")
    if variant == "smoke":
        _shrink(config)
    else:
        source = "Zagoruyko & Komodakis 2016, arXiv 1605.07146, table 8"
        config.reported = dict(metric="test/accuracy", value=VARIANTS[variant], source=source)
    return config


def _shrink(config: ConfigDict) -> None:
    presets.shrink(config, size=32, num_classes=10)
    config.optimizer.learning_rate = 0.01
