"""YOLOv8 on COCO, which lies in a folder: five sizes of one network.

System:    YOLOv8 (Jocher et al. 2023, github.com/ultralytics/ultralytics): detect objects
Command:   python -m experiments.train --config=configs/yolo_v8/coco.py:n \\
           --config.dataset.data_dir=DIR
Hardware:  eight GPUs for days; not run here. `:smoke` is a narrow network on small images
Expected:  precision/map 0.373 (:n), 0.449 (:s), 0.502 (:m), 0.529 (:l), 0.539 (:x)
Source:    github.com/ultralytics/ultralytics, README: mAP of val2017 at 640 pixels;
           cfg/default.yaml and utils/tal.py: 500 epochs, batches of 64, SGD with rate 0.01 that
           falls linearly to a hundredth, momentum 0.937, weight decay 5e-4, three epochs of warmup,
           mosaic until the last ten epochs, shifts of colour, translation 0.1, scale 0.5, flips

DIR holds `train2017/`, `val2017/` and `annotations/instances_train2017.json`, ..., as COCO
publishes them. The original multiplies the mean loss by the 64 images. Here the rate is multiplied,
and weight decay and the limit of the gradient's norm are divided: the steps are the same. What
differs: the momentum and the biases' rates during warmup; all images are padded to squares, those
of mosaics and of the evaluation, too; the running averages follow each step without the original's
ramp of 2000 steps; kernels start with a variance of 2 / fan_in in place of PyTorch's 1 / (3
fan_in); images are neither moved nor scaled once mosaics have ended; suppression compares the best
5,000 candidates of an image, not 30,000; crowds are left out of the evaluation, too, so that what
is found on them counts as wrong.
"""

from ml_collections import ConfigDict

from library import presets

# Reported mAP.
VARIANTS = {"n": 0.373, "s": 0.449, "m": 0.502, "l": 0.529, "x": 0.539, "smoke": None}
BATCH = 64


def get_config(variant: str = "n") -> ConfigDict:
    small = variant == "smoke"
    sizing = [dict(name="letterbox", size=64 if small else 640)]
    config = presets.objects("detection_folder", BATCH, sizing, num_objects=100, test="val")
    config.dataset.update(workers=16, threads=2)
    config.augment = [
        dict(name="mosaic", num_objects=200, until=0.98),
        dict(name="flip_lr"),
        dict(name="hsv"),
    ]
    config.normalize = dict(mean=[0.0], std=[1.0])
    config.model = dict(name="yolo_v8" if small else f"yolo_v8.yolo_v8{variant}")
    config.task = dict(
        name="detection",
        method=dict(name="aligned"),
        confidence=0.25,
        suppress=0.7,
        num_detections=300,
        candidates=5000,
    )
    config.optimizer = dict(
        name="sgd",
        learning_rate=0.01 * BATCH,
        momentum=0.937,
        nesterov=True,
        weight_decay=5e-4 / BATCH,
        schedule=dict(name="linear", warmup="3 epochs", final=0.01),
        clip=dict(global_norm=10.0 / BATCH),
    )
    config.ema = dict(decay=0.9999, warmup=True)
    config.total = "500 epochs"
    if small:
        config.evaluate = dict(precision=config.evaluate.precision)
        config.model.update(depth=0.1, width=0.03)
        config.dataset.update(batch_size=8, workers=0)
        config.total = "3 steps"
        config.optimizer.schedule.warmup = "1 steps"
        config.log_every = "1 steps"
    else:
        config.reported = dict(
            metric="precision/map",
            value=VARIANTS[variant],
            source=f"ultralytics, README, YOLOv8{variant}, val2017",
        )
    return config
