"""A narrow FCN-8s that segments road scenes of 240x180 pixels.

System:    FCN (Long et al. 2015, arXiv 1411.4038): segment images
Command:   python -m experiments.prepare --dataset=camvid240
           python -m experiments.train --config=configs/fcn/camvid240.py
Hardware:  two CPU cores
Expected:  no result is claimed: published results are for twice the resolution
Source:    Long, Shelhamer and Darrell 2015, "Fully Convolutional Networks for Semantic
           Segmentation" (arXiv 1411.4038)

The network has a quarter of VGG-16's width, 256 channels in place of 4096, and batch normalization.
It starts from random weights. See configs/fcn/camvid.py for the whole network.
"""

from ml_collections import ConfigDict

from library import presets


def get_config(variant: str = "") -> ConfigDict:
    config = presets.camvid("camvid240", 8)
    config.augment = [
        dict(name="flip_lr"),
        dict(name="affine", translate=0.05, scale=[0.8, 1.25], map_fill=11),
    ]
    config.model = dict(name="fcn.fcn_8s", width=16, hidden_size=256, batch_norm=True)
    config.task = dict(name="segmentation", ignore=11)
    schedule = dict(name="cosine", warmup="1 epoch")
    config.optimizer = dict(name="adamw", learning_rate=2e-3, weight_decay=0.05, schedule=schedule)
    config.total = "60 epochs"
    return config
