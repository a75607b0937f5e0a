"""YOLO, narrow and from scratch, that finds blood cells in 10x10 cells.

System:    YOLO (Redmon et al. 2015, arXiv 1506.02640): detect objects
Command:   python -m experiments.prepare --dataset=bccd
           python -m experiments.train --config=configs/yolo_v1/bccd.py:cpu
Hardware:  two CPU cores. `:smoke` is a narrower network for three steps
Expected:  no result is claimed: none is published for this network
Source:    Redmon et al. 2016, "You Only Look Once: Unified, Real-Time Object Detection" (arXiv
           1506.02640), for the loss

The network is Fast YOLO with half of its channels in five stages, then convolutions of 128 and 64
channels, on squares of 320 pixels. It has one stage and one pooling fewer. Its dense head has 8.3
million params. A cell has two boxes and one class, so it cannot find two blood cells whose centres
are close.
"""

from ml_collections import ConfigDict

from library import presets

# Channels of the stages and of the last convolution, length.
VARIANTS = {
    "cpu": ((8, 16, 32, 64, 128, 128), 64, "200 epochs"),
    "smoke": ((2, 2, 2, 2, 2, 2), 2, "3 steps"),
}


def get_config(variant: str = "cpu") -> ConfigDict:
    widths, last, total = VARIANTS[variant]
    config = presets.objects(
        "bccd", 16, [dict(name="resize", size=320)], num_objects=40, cache="device"
    )
    config.augment = [
        dict(name="flip_lr"),
        dict(name="flip_ud"),
        dict(name="affine", translate=0.1, scale=[0.9, 1.1], fill=0.7),
        dict(name="hsv", hue=0.0, saturation=0.5, value=0.3),
    ]
    config.normalize = dict(mean=[0.7], std=[0.2])
    stages = [[[3, width]] for width in widths[:-1]] + [[[3, widths[-1]], [3, last]]]
    config.model = dict(name="yolo_v1.fast_yolo", cells=10, stages=stages)
    config.task = dict(name="detection", method=dict(name="yolo"), confidence=0.2, suppress=0.5)
    config.optimizer = dict(
        name="adamw",
        learning_rate=1e-3,
        weight_decay=0.05,
        schedule=dict(name="cosine", warmup="3 epochs"),
        clip=dict(global_norm=10.0),
    )
    config.ema = dict(decay=0.998, warmup=True)
    config.total = total
    if variant == "smoke":
        config.optimizer.schedule.warmup = "1 steps"
        config.log_every = "1 steps"
    return config
