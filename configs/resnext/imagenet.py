"""ResNeXt-50 (32x4d) and ResNeXt-101 (32x8d) on ImageNet-1k: torchvision's recipe and the paper's.

System:    ResNeXt (Xie et al. 2016, arXiv 1611.05431): classify images
Command:   python -m experiments.prepare --dataset=imagenet2012 --manual_dir=DIR
           python -m experiments.train --config=configs/resnext/imagenet.py:resnext50_32x4d
Hardware:  not run here. `:smoke` is ResNeXt-50 on small images of noise, on two CPU cores. The
           originals: 64 GPUs (torchvision), eight (:paper).
Expected:  test/accuracy and test/top5 0.7762, 0.9370 (:resnext50_32x4d), 0.7931, 0.9453
           (:resnext101_32x8d); test/accuracy 0.778 (:paper)
Source:    torchvision, weights ResNeXt50_32X4D_Weights.IMAGENET1K_V1 and
           ResNeXt101_32X8D_Weights.IMAGENET1K_V1, references/classification, README: 100 epochs, 16
           images on each of 64 devices, SGD, rate 0.4 divided by 10 every 30 epochs, momentum 0.9,
           weight decay 1e-4 on all params.
           Xie, Girshick, Dollar, Tu & He 2017, "Aggregated residual transformations for deep neural
           networks" (arXiv 1611.05431), section 4 and table 3 (ResNeXt-50 32x4d, an error of 22.2):
           32 images on each of eight devices, SGD, rate 0.1 divided by 10 three times on the
           schedule of fb.resnet.torch, which does so every 30 epochs, momentum 0.9, weight decay
           1e-4, crops of 8 to 100 % of the area; one central crop of 224.

What differs: the paper does not state the length; 100 epochs have three divisions of the rate.
fb.resnet.torch also changes brightness, contrast and saturation by up to 0.4 in random order, and
adds noise along the principal components of the colours (datasets/imagenet.lua); so does :paper
here. Keep 16 (torchvision) and 32 (:paper) images per device: each device has its own batch
statistics. Weight decay is coupled.
"""

from ml_collections import ConfigDict

from library import presets

VARIANTS = {
    "resnext50_32x4d": (0.77618, "torchvision, ResNeXt50_32X4D_Weights.IMAGENET1K_V1"),
    "resnext101_32x8d": (0.79312, "torchvision, ResNeXt101_32X8D_Weights.IMAGENET1K_V1"),
    "paper": (0.778, "Xie et al. 2017, arXiv 1611.05431, table 3"),
    "smoke": None,
}


def get_config(variant: str = "resnext50_32x4d") -> ConfigDict:
    config = presets.imagenet(batch_size=1024)
    config.preprocess = presets.crops()
    config.augment = [dict(name="flip_lr")]
    config.normalize = presets.IMAGENET_COLOURS
    network = variant if variant.startswith("resnext") else "resnext50_32x4d"
    config.model = dict(name=f"resnext.{network}", num_classes=1000, zero_init=False)
    config.task = dict(name="classification")
    config.optimizer = dict(
        name="sgd",
        learning_rate=0.4,
        momentum=0.9,
        weight_decay=1e-4,
        decayed="all",
        schedule=dict(name="step", boundaries=["30 epochs", "60 epochs", "90 epochs"], factor=0.1),
    )
    config.total = "100 epochs"
    config.parallel = dict(strategy="pmap")
    if variant == "paper":
        config.dataset.batch_size = 256
        config.optimizer.learning_rate = 0.1
        config.augment = presets.facebook_colours()
    if variant == "smoke":
        _shrink(config)
    else:
        value, source = VARIANTS[variant]
        config.reported = dict(metric="test/accuracy", value=value, source=source)
    return config


def _shrink(config: ConfigDict) -> None:
    presets.shrink(config, size=32, num_classes=10)
    config.optimizer.learning_rate = 0.01
