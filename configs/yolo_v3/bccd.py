"""YOLOv3, narrow and from scratch, that finds blood cells.

System:    YOLOv3 (Redmon & Farhadi 2018, arXiv 1804.02767): detect objects
Command:   python -m experiments.prepare --dataset=bccd
           python -m experiments.train --config=configs/yolo_v3/bccd.py:cpu
Hardware:  two CPU cores for :cpu; one GPU for :full (not run here). `:smoke` is a narrower network
           for three steps
Expected:  no result is claimed: published results on this set have other splits, or networks that
           were trained on other images before
Source:    Redmon & Farhadi 2018, "YOLOv3: An Incremental Improvement" (arXiv 1804.02767), section
           2, and yolov3.cfg of Darknet, for the loss and the augmentation

Photographs are at half of their size, 240x320, with grey rows up to 256. Anchors are clusters of
the training boxes at this size, as the paper chooses its own
(`library.object_detection.anchors.clusters`). `:full` is Darknet-53 with all its channels.
"""

from ml_collections import ConfigDict

from library import presets

ANCHORS = (
    ((20, 19), (42, 41), (55, 37)),
    ((40, 56), (50, 48), (60, 49)),
    ((53, 56), (66, 62), (108, 98)),
)
# Model, length.
VARIANTS = {
    "cpu": (dict(width=8, blocks=[1, 1, 2, 2, 1]), "200 epochs"),
    "full": (dict(), "300 epochs"),
    "smoke": (dict(width=2, blocks=[1, 1, 1, 1, 1]), "3 steps"),
}


def get_config(variant: str = "cpu") -> ConfigDict:
    model, total = VARIANTS[variant]
    config = presets.objects("bccd", 16, presets.HALF_OF_BCCD, num_objects=40, cache="device")
    config.augment = [
        dict(name="flip_lr"),
        dict(name="flip_ud"),
        dict(name="affine", translate=0.2, scale=[0.8, 1.25], fill=0.5),
        dict(name="darknet_colours", hue=0.1, saturation=1.5, exposure=1.5),
    ]
    config.normalize = dict(mean=[0.0], std=[1.0])
    config.model = dict(name="yolo_v3", **model)
    anchors = [[list(each) for each in level] for level in ANCHORS]
    config.task = dict(
        name="detection", method=dict(name="anchors", anchors=anchors), suppress=0.45
    )
    config.optimizer = dict(
        name="adamw",
        learning_rate=1e-3,
        weight_decay=0.05,
        schedule=dict(name="cosine", warmup="3 epochs"),
        clip=dict(global_norm=50.0),
    )
    config.ema = dict(decay=0.998, warmup=True)
    config.total = total
    if variant == "smoke":
        config.evaluate = dict(precision=config.evaluate.precision)
        config.optimizer.schedule.warmup = "1 steps"
        config.log_every = "1 steps"
    return config
