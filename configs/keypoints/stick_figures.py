"""The joints of drawn people, found by heat maps.

System:    Keypoints by heat maps (Tompson et al. 2014, arXiv 1406.2984): find the joints of people
Command:   python -m experiments.prepare --dataset=stick_figures
           python -m experiments.train --config=configs/keypoints/stick_figures.py
Hardware:  two CPU cores
Expected:  no result is claimed; precision/ap is the OKS-AP of MS-COCO
Source:    Tompson, Jain, LeCun & Bregler 2014, "Joint training of a convolutional network and a
           graphical model for human pose estimation", for the heat maps

The data set is drawn by this project (library/data/builders/stick_figures.py). The network is a
small U-Net with a map for each of the thirteen joints. Images are turned and scaled at random; they
are not mirrored, because that would exchange left and right. The report shows the image, its true
joints and those that are found.
"""

from ml_collections import ConfigDict

# COCO's, of the nose, shoulders, elbows, wrists, hips, knees and ankles.
SPREAD = [0.026, *2 * [0.079], *2 * [0.072], *2 * [0.062], *2 * [0.107], *2 * [0.087], *2 * [0.089]]


def get_config(variant: str = "") -> ConfigDict:
    config = ConfigDict()
    config.dataset = dict(
        name="stick_figures",
        train="train",
        test="test",
        batch_size=32,
        eval_batch_size=50,
        cache="device",
    )
    config.preprocess = [dict(name="decode", channels=1)]
    config.augment = [dict(name="affine", degrees=10.0, translate=0.05, scale=[0.9, 1.1])]
    config.normalize = dict(mean=[0.15], std=[0.2])
    config.model = dict(
        name="unet", num_classes=13, widths=[8, 16, 32, 64], normalization="batch", dropout=0.0
    )
    config.task = dict(name="keypoints", num_points=13)
    config.optimizer = dict(
        name="adamw",
        learning_rate=3e-3,
        weight_decay=0.01,
        schedule=dict(name="cosine", warmup="100 steps"),
    )
    config.total = "15 epochs"
    config.evaluate = dict(
        test=dict(kind="metrics", every="20%"),
        precision=dict(kind="keypoint_precision", spread=SPREAD, every="20%"),
        shown=dict(kind="samples", output="overlay", split="test", num=8, every="20%"),
    )
    config.checkpoint = dict(every="20%", best="test/distance", mode="min")
    config.log_every = "50 steps"
    config.seed = 0
    return config
