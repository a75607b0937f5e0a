"""YOLOv8, small and from scratch, that finds blood cells; and a detector for other classes from it.

System:    YOLOv8 (Jocher et al. 2023, github.com/ultralytics/ultralytics): detect objects
Command:   python -m experiments.prepare --dataset=bccd
           python -m experiments.train --config=configs/yolo_v8/bccd.py:cpu
           python -m experiments.train --config=configs/yolo_v8/bccd.py:red
           python -m experiments.train --config=configs/yolo_v8/bccd.py:fine_tuned
           python -m experiments.train --config=configs/yolo_v8/bccd.py:scratch
Hardware:  two CPU cores, an hour or so for :cpu and :red, minutes for :fine_tuned and :scratch;
           one GPU for :n (not run here). `:smoke` is a narrow network for three steps
Expected:  no result is claimed: published results on this set have other splits, or networks that
           were trained on COCO before
Source:    github.com/ultralytics/ultralytics, cfg/default.yaml and utils/tal.py, for the loss, the
           assignment and the augmentation

Photographs are at half of their size, 240x320, with grey rows up to 256. `:n` is the smallest
published network, and `:cpu` has half of its channels. The optimizer is AdamW: the original's SGD
has rates for many more steps.

`:red` finds only red cells. `:fine_tuned` starts from it and learns the two other classes, white
cells and platelets; its heads for classes have another size and start anew. `:scratch` is as long,
from new params. `dataset.name="detection_folder"` with a `data_dir` does the same for images and
classes of one's own.
"""

from ml_collections import ConfigDict

from library import presets

NARROW = dict(depth=0.33, width=0.125)
# Model, classes that are kept, workdir of the initial params, length.
VARIANTS = {
    "cpu": (NARROW, None, None, "200 epochs"),
    "n": (dict(depth=0.33, width=0.25), None, None, "300 epochs"),
    "red": (NARROW, [0], None, "100 epochs"),
    "fine_tuned": (NARROW, [1, 2], "runs/yolo_v8-bccd-red", "30 epochs"),
    "scratch": (NARROW, [1, 2], None, "30 epochs"),
    "smoke": (dict(depth=0.1, width=0.03), None, None, "3 steps"),
}


def get_config(variant: str = "cpu") -> ConfigDict:
    model, classes, workdir, total = VARIANTS[variant]
    config = presets.objects("bccd", 16, presets.HALF_OF_BCCD, num_objects=40, cache="device")
    config.augment = [
        dict(name="mosaic", num_objects=80, until=0.9),
        dict(name="flip_lr"),
        dict(name="flip_ud"),
        dict(name="hsv"),
    ]
    config.normalize = dict(mean=[0.0], std=[1.0])
    config.model = dict(name="yolo_v8", image_size=288, **model)
    config.task = dict(name="detection", method=dict(name="aligned"), confidence=0.25, suppress=0.6)
    config.optimizer = dict(
        name="adamw",
        learning_rate=2e-3,
        weight_decay=0.05,
        schedule=dict(name="linear", warmup="3 epochs", final=0.01),
        clip=dict(global_norm=10.0),
    )
    config.ema = dict(decay=0.998, warmup=True)
    config.total = total
    if classes is not None:
        config.preprocess.insert(-1, dict(name="keep_classes", classes=classes))
        for part in (config.model, config.task, config.evaluate.precision):
            part.num_classes = len(classes)
    if workdir is not None:
        config.init_from = dict(workdir=workdir, ema=True)
    if variant == "smoke":
        config.evaluate = dict(precision=config.evaluate.precision)
        config.optimizer.schedule.warmup = "1 steps"
        config.log_every = "1 steps"
    return config
