"""The masks of handwritten digits that overlap, each with its class.

System:    SOLO (Wang et al. 2020, arXiv 1912.04488): segment instances
Command:   python -m experiments.prepare --dataset=overlapping_digits
           python -m experiments.train --config=configs/solo/overlapping_digits.py
Hardware:  two CPU cores
Expected:  no result is claimed; precision/ap is the mask AP of MS-COCO
Source:    Wang, Kong, Shen, Jiang & Li 2020, "SOLO: Segmenting objects by locations", whose data
           are others: 37.8 on MS-COCO with ResNet-101

The data set is made by this project from MNIST (library/data/builders/overlapping_digits.py). The
features of a small U-Net take the place of the paper's feature pyramid, and one grid of 8x8 cells
that of its five. Bit i of the map is the mask of digit i, so geometry moves all masks together;
pixels from outside the image must get 0 (`map_fill`).
"""

from ml_collections import ConfigDict


def get_config(variant: str = "") -> ConfigDict:
    config = ConfigDict()
    config.dataset = dict(
        name="overlapping_digits",
        train="train",
        test="test",
        batch_size=32,
        eval_batch_size=50,
        cache="device",
    )
    config.preprocess = [dict(name="decode", channels=1)]
    config.augment = [
        dict(name="affine", degrees=10.0, translate=0.05, scale=[0.9, 1.1], map_fill=0)
    ]
    config.normalize = dict(mean=[0.06], std=[0.22])
    config.model = dict(name="solo", num_classes=10)
    config.task = dict(name="instances", num_classes=10)
    config.optimizer = dict(
        name="adamw",
        learning_rate=3e-3,
        weight_decay=0.01,
        schedule=dict(name="cosine", warmup="100 steps"),
    )
    config.total = "10 epochs"
    config.evaluate = dict(
        test=dict(kind="metrics", every="20%"),
        precision=dict(kind="mask_precision", num_classes=10, every="50%"),
        shown=dict(kind="samples", output="overlay", split="test", num=8, every="20%"),
    )
    config.checkpoint = dict(every="20%", best="test/loss", mode="min")
    config.log_every = "50 steps"
    config.seed = 0
    return config
