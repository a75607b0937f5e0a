"""A small grid detector, similar to YOLO, that finds blood cells.

System:    Grid detector (Redmon et al. 2015, arXiv 1506.02640): detect objects
Command:   python -m experiments.prepare --dataset=bccd
           python -m experiments.train --config=configs/grid_detector/bccd.py
Hardware:  two CPU cores
Expected:  no result is claimed
Source:    Redmon et al. 2016, "You Only Look Once: Unified, Real-Time Object Detection" (arXiv
           1506.02640), for the loss

Images are 192x256 here, which gives a grid of 12x16. Flips and crops also move the boxes.
"""

from ml_collections import ConfigDict


def get_config(variant: str = "") -> ConfigDict:
    config = ConfigDict()
    config.dataset = dict(
        name="bccd", train="train", test="test", batch_size=16, eval_batch_size=8, cache="device"
    )
    config.preprocess = [
        dict(name="decode"),
        dict(name="letterbox", size=[192, 256]),
        dict(name="pad_objects", num=40),
    ]
    config.augment = [
        dict(name="flip_lr"),
        dict(name="flip_ud"),
        dict(name="affine", translate=0.1, scale=[0.9, 1.1]),
    ]
    config.normalize = dict(mean=[0.7], std=[0.2])
    config.model = dict(name="grid_detector")
    config.task = dict(name="detection")
    config.optimizer = dict(name="adam", learning_rate=1e-3, schedule=dict(name="cosine"))
    config.total = "60 epochs"
    config.evaluate = dict(
        test=dict(kind="metrics", every="10%"),
        shown=dict(kind="samples", output="overlay", split="test", num=4, every="25%"),
    )
    config.checkpoint = dict(every="10%", best="test/f1")
    config.log_every = "20 steps"
    config.seed = 0
    return config
