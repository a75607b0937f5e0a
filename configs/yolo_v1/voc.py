"""YOLO on Pascal VOC: the network of the paper, and Fast YOLO.

System:    YOLO (Redmon et al. 2015, arXiv 1506.02640): detect objects
Command:   python -m experiments.prepare --dataset=voc/0712
           python -m experiments.train --config=configs/yolo_v1/voc.py:paper
Hardware:  one GPU; not run here. `:smoke` is a narrow network for three steps
Expected:  no result is claimed: the paper's mAP of 0.634 (:paper) and 0.527 (:fast) on VOC 2007
           (table 1) are of networks whose first layers were trained on ImageNet
Source:    Redmon et al. 2016, "You Only Look Once: Unified, Real-Time Object Detection" (arXiv
           1506.02640), section 2.2: the training images of 2007 and 2012, 135 epochs, batches of
           64, momentum 0.9, weight decay 5e-4; rate 1e-3, raised to 1e-2 in the first epochs, 1e-2
           for 75 epochs, 1e-3 for 30 and 1e-4 for 30; dropout 0.5; scale and translation up to a
           fifth, exposure and saturation by a factor up to 1.5. Darknet's voc_label.py: objects
           that are marked as difficult are left out of training

Here the first five epochs raise the rate, and all layers start from random values. `:fast` has the
layers of yolov1-tiny.cfg of Darknet with a dense head; they have batch normalization.
"""

from ml_collections import ConfigDict

from library import presets

VARIANTS = ("paper", "fast", "smoke")
TINY = [[[3, width]] for width in (2, 2, 4, 4, 4)] + [[[3, 4]], [[3, 8], [3, 4]]]


def get_config(variant: str = "paper") -> ConfigDict:
    sizing = [dict(name="resize", size=448)]
    config = presets.objects("voc/0712", 64, sizing, num_objects=60, drop_difficult=True)
    config.augment = [
        dict(name="flip_lr"),
        dict(name="affine", translate=0.2, scale=[0.8, 1.2], fill=0.5),
        dict(name="darknet_colours", hue=0.0, saturation=1.5, exposure=1.5),
    ]
    config.normalize = dict(mean=[0.5], std=[0.5])
    config.model = dict(name="yolo_v1" if variant == "paper" else "yolo_v1.fast_yolo")
    config.task = dict(name="detection", method=dict(name="yolo"), confidence=0.2, suppress=0.5)
    config.optimizer = dict(
        name="sgd",
        learning_rate=1e-2,
        momentum=0.9,
        weight_decay=5e-4,
        schedule=dict(
            name="piecewise",
            boundaries=["5 epochs", "80 epochs", "110 epochs"],
            fractions=[0.1, 1.0, 0.1, 0.01],
        ),
    )
    config.total = "135 epochs"
    if variant == "smoke":
        config.model.stages = TINY
        config.dataset.batch_size = 8
        config.total, config.log_every = "3 steps", "1 steps"
        config.optimizer.schedule.boundaries = ["1 steps", "2 steps", "3 steps"]
    return config
