"""A narrow U-Net that segments road scenes of 240x180 pixels.

System:    U-Net (Ronneberger et al. 2015, arXiv 1505.04597): segment images
Command:   python -m experiments.prepare --dataset=camvid240
           python -m experiments.train --config=configs/unet/camvid240.py
Hardware:  two CPU cores
Expected:  no result is claimed: published results are for twice the resolution
Source:    Ronneberger et al. 2015, "U-Net: Convolutional Networks for Biomedical Image
           Segmentation" (arXiv 1505.04597); data: Brostow et al. 2008, with the splits and classes
           of SegNet (arXiv 1511.00561)

The network has a quarter of the paper's width, padded convolutions and batch normalization. Classes
are weighted as in ENet, by weights that are fitted to the training maps.
"""

from ml_collections import ConfigDict

from library import presets


def get_config(variant: str = "") -> ConfigDict:
    config = presets.camvid("camvid240", 8, size=[192, 240], weights="log")
    config.augment = [
        dict(name="flip_lr"),
        dict(name="affine", translate=0.05, scale=[0.8, 1.25], map_fill=11),
        dict(name="color_jitter", brightness=0.3, contrast=0.3, saturation=0.3),
    ]
    widths = [16, 32, 64, 128, 256]
    config.model = dict(name="unet", widths=widths, normalization="batch", dropout=0.2)
    config.task = dict(name="segmentation", ignore=11, class_weights="map_class_weights")
    schedule = dict(name="cosine", warmup="1 epoch")
    config.optimizer = dict(name="adamw", learning_rate=2e-3, weight_decay=0.05, schedule=schedule)
    config.total = "60 epochs"
    return config
