"""Darknet-19 and Darknet-53 on ImageNet-1k, with which YOLOv2 and YOLOv3 start.

System:    Darknet (Redmon & Farhadi 2016, arXiv 1612.08242): classify images
Command:   python -m experiments.prepare --dataset=imagenet2012 --manual_dir=DIR
           python -m experiments.train --config=configs/darknet/imagenet.py:darknet19
Hardware:  eight devices; not run here. `:smoke` is a narrow Darknet-19 on noise, on two CPU cores
Expected:  test/accuracy and test/top5 of darknet19 0.729, 0.912; darknet53 0.772, 0.938
Source:    Redmon & Farhadi 2017, "YOLO9000: Better, Faster, Stronger" (arXiv 1612.08242), section
           3: 160 epochs, SGD with rate 0.1, polynomial decay with a power of 4, weight decay 5e-4,
           momentum 0.9, crops, rotations, and shifts of hue, saturation and exposure, images of
           224 pixels. Redmon & Farhadi 2018, "YOLOv3" (arXiv 1804.02767), table 2: Darknet-53 at
           256 pixels. darknet19.cfg: batches of 128, angles up to 7 degrees, hue 0.1, factors
           of saturation and exposure from 0.75 to its inverse.

Crops are those of Inception, which keep more of the image's shape than Darknet's own.
"""

from ml_collections import ConfigDict

from library import presets

# Side of the images, reported accuracy, source.
VARIANTS = {
    "darknet19": (224, 0.729, "Redmon & Farhadi 2017, section 3"),
    "darknet53": (256, 0.772, "Redmon & Farhadi 2018, table 2"),
    "smoke": (64, None, None),
}


def get_config(variant: str = "darknet19") -> ConfigDict:
    size, reported, source = VARIANTS[variant]
    config = presets.imagenet(batch_size=128)
    config.preprocess = presets.crops(size, short=size)
    config.augment = [
        dict(name="flip_lr"),
        dict(name="affine", degrees=7.0),
        dict(name="darknet_colours", hue=0.1, saturation=0.75, exposure=0.75),
    ]
    config.normalize = dict(mean=[0.0], std=[1.0])
    config.model = dict(name=f"darknet.{variant}", num_classes=1000)
    config.task = dict(name="classification")
    config.optimizer = dict(
        name="sgd",
        learning_rate=0.1,
        momentum=0.9,
        weight_decay=5e-4,
        schedule=dict(name="polynomial", power=4.0),
    )
    config.total = "160 epochs"
    if variant == "smoke":
        presets.shrink(config)
        config.preprocess = presets.crops(size, short=72)
        config.model = dict(name="darknet.darknet19", num_classes=10, width=4)
    else:
        config.reported = dict(metric="test/accuracy", value=reported, source=source)
    return config
