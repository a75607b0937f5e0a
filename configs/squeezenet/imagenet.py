"""SqueezeNet 1.0 and 1.1 on ImageNet-1k, by the recipe of their authors.

System:    SqueezeNet (Iandola et al. 2016, arXiv 1602.07360): classify images
Command:   python -m experiments.prepare --dataset=imagenet2012 --manual_dir=DIR
           python -m experiments.train --config=configs/squeezenet/imagenet.py:squeezenet1_0
Hardware:  not run here. `:smoke` is version 1.1 on small images of noise, on two CPU cores.
Expected:  test/accuracy 0.575 and test/top5 0.803 (:squeezenet1_0); no figures are published for
           :squeezenet1_1, but its authors say that it is as accurate
Source:    Iandola et al. 2016, "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and
           <0.5MB model size" (arXiv 1602.07360), table 2, and forresti/SqueezeNet,
           SqueezeNet_v1.0/solver.prototxt and train_val.prototxt: 170,000 steps of 512 images, rate
           0.04 that falls linearly to 0, momentum 0.9, weight decay 2e-4, dropout 0.5, crops of 227
           of images resized to 256x256, no flips.

torchvision does not state the recipe of its weights (58.092 and 80.420, 58.178 and 80.624).

What differs: Caffe's inputs are grey levels minus their mean, and its initial kernels are smaller
than He's. Here inputs are divided by their standard deviation. Caffe's mean colour is rounded.
Weight decay is coupled, for all params, as in Caffe by default.
"""

from ml_collections import ConfigDict

from library import presets

VARIANTS = {"squeezenet1_0": 0.575, "squeezenet1_1": None, "smoke": None}


def get_config(variant: str = "squeezenet1_0") -> ConfigDict:
    config = presets.imagenet(batch_size=512)
    config.preprocess = presets.caffe_crops(227)
    config.augment = []
    config.normalize = presets.IMAGENET_COLOURS
    config.model = dict(name=f"squeezenet.{variant}", num_classes=1000, dropout=0.5)
    config.task = dict(name="classification")
    config.optimizer = dict(
        name="sgd",
        learning_rate=0.04,
        momentum=0.9,
        weight_decay=2e-4,
        decayed="all",
        schedule=dict(name="linear"),
    )
    config.total = "170000 steps"
    if variant == "smoke":
        _shrink(config)
    if VARIANTS[variant]:
        source = "Iandola et al. 2016, arXiv 1602.07360, table 2"
        config.reported = dict(metric="test/accuracy", value=VARIANTS[variant], source=source)
    return config


def _shrink(config: ConfigDict) -> None:
    presets.shrink(config)
    config.preprocess = presets.caffe_crops(35, square=40)
    config.model.update(name="squeezenet.squeezenet1_1", num_classes=10)
