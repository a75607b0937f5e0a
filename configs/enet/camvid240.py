"""ENet segments road scenes of 240x180 pixels.

System:    ENet (Paszke et al. 2016, arXiv 1606.02147): segment images
Command:   python -m experiments.prepare --dataset=camvid240
           python -m experiments.train --config=configs/enet/camvid240.py
Hardware:  two CPU cores
Expected:  no result is claimed: published results are for twice the resolution
Source:    Paszke et al. 2016, "ENet: A Deep Neural Network Architecture for Real-Time Semantic
           Segmentation" (arXiv 1606.02147)

The network is that of the paper; see configs/enet/camvid.py for the paper's images and settings.
"""

from ml_collections import ConfigDict

from library import presets


def get_config(variant: str = "") -> ConfigDict:
    config = presets.camvid("camvid240", 10, size=[184, 240], weights="log")
    config.augment = [
        dict(name="flip_lr"),
        dict(name="affine", translate=0.05, scale=[0.8, 1.25], map_fill=11),
        dict(name="color_jitter", brightness=0.3, contrast=0.3, saturation=0.3),
    ]
    config.model = dict(name="enet")
    config.task = dict(name="segmentation", ignore=11, class_weights="map_class_weights")
    schedule = dict(name="cosine", warmup="1 epoch")
    config.optimizer = dict(name="adam", learning_rate=2e-3, weight_decay=2e-4, schedule=schedule)
    config.total = "120 epochs"
    return config
