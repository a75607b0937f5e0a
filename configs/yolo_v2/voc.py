"""YOLOv2 on Pascal VOC, from a Darknet-19 that was trained on ImageNet.

System:    YOLOv2 (Redmon & Farhadi 2016, arXiv 1612.08242): detect objects
Command:   python -m experiments.prepare --dataset=voc/0712
           python -m experiments.train --config=configs/darknet/imagenet.py:darknet19
           python -m experiments.train --config=configs/yolo_v2/voc.py:voc0712
Hardware:  one GPU; not run here. `:smoke` is a narrow network on small images
Expected:  precision/voc07 0.768 at 416 pixels
Source:    Redmon & Farhadi 2017, "YOLO9000: Better, Faster, Stronger" (arXiv 1612.08242), table 3,
           and section 2: 160 epochs, rate 1e-3 divided by 10 at 60 and 90 epochs, weight decay
           5e-4, momentum 0.9; yolov2-voc.cfg of Darknet: anchors, batches of 64, 1000 steps of
           warmup, factors of the loss, and shifts of hue, saturation and exposure; voc_label.py:
           objects that are marked as difficult are left out of training

The trained network may also be one that `experiments.zoo import darknet19 --weights=FILE` reads
from the authors' file: `--config.init_from.workdir=DIR`.

What differs from the paper: images have one size, 416, in place of a new one every ten batches; the
classifier is not fine-tuned at 448 pixels before; the first 12,800 images do not pull all anchors
towards the middle of their cells; the warmup is linear and not to the fourth power; an image moves
by up to a fifth and is scaled by 0.8 to 1.25, where Darknet's jitter of 0.3 moves each of its sides
by itself; overlaps are measured without the pixel that the challenge's program adds to each side of
a box.
"""

from ml_collections import ConfigDict

from library import presets

# Of yolov2-voc.cfg, in cells of 32 pixels.
ANCHORS = (
    *((1.3221, 1.73145), (3.19275, 4.00944), (5.05587, 8.09892)),
    *((9.47112, 4.84053), (11.2364, 10.0071)),
)
VARIANTS = {"voc0712": 0.768, "smoke": None}


def get_config(variant: str = "voc0712") -> ConfigDict:
    small = variant == "smoke"
    sizing = [dict(name="letterbox", size=64 if small else 416, fill=128)]
    config = presets.objects("voc/0712", 64, sizing, num_objects=60, drop_difficult=True)
    config.augment = [
        dict(name="flip_lr"),
        dict(name="affine", translate=0.2, scale=[0.8, 1.25], fill=0.5),
        dict(name="darknet_colours", hue=0.1, saturation=1.5, exposure=1.5),
    ]
    config.normalize = dict(mean=[0.0], std=[1.0])
    config.model = dict(name="yolo_v2")
    anchors = [[[32 * side for side in each] for each in ANCHORS]]
    method = dict(name="anchors", anchors=anchors, ignore=0.6, object_weight=5.0)
    method.update(exclusive=True, rescored=True)
    config.task = dict(name="detection", method=method, suppress=0.45)
    config.optimizer = dict(
        name="sgd",
        learning_rate=1e-3,
        momentum=0.9,
        weight_decay=5e-4,
        schedule=dict(
            name="step", boundaries=["60 epochs", "90 epochs"], factor=0.1, warmup="1000 steps"
        ),
    )
    config.total = "160 epochs"
    if small:
        config.evaluate = dict(precision=config.evaluate.precision)
        config.model.width = 2
        config.dataset.batch_size = 8
        config.total, config.log_every = "3 steps", "1 steps"
        config.optimizer.schedule.update(boundaries=["1 steps", "2 steps"], warmup="1 steps")
    else:
        config.init_from = dict(workdir="runs/darknet-imagenet-darknet19")
        config.reported = dict(
            metric="precision/voc07",
            value=VARIANTS[variant],
            source="Redmon & Farhadi 2017, table 3, 416x416",
        )
    return config
