"""A narrow SegNet-Basic that segments road scenes of 240x180 pixels.

System:    SegNet-Basic (Badrinarayanan et al. 2017, arXiv 1511.00561): segment images
Command:   python -m experiments.prepare --dataset=camvid240
           python -m experiments.train --config=configs/segnet/camvid240.py
Hardware:  two CPU cores
Expected:  no result is claimed: published results are for twice the resolution
Source:    Badrinarayanan, Kendall and Cipolla 2017, "SegNet: A Deep Convolutional Encoder-Decoder
           Architecture for Image Segmentation" (arXiv 1511.00561)

The layers have 16 channels in place of 64. See configs/segnet/camvid.py for the paper's settings.
"""

from ml_collections import ConfigDict

from library import presets


def get_config(variant: str = "") -> ConfigDict:
    config = presets.camvid("camvid240", 12, weights="median_frequency")
    config.augment = [dict(name="flip_lr")]
    config.model = dict(name="segnet.segnet_basic", width=16)
    config.task = dict(name="segmentation", ignore=11, class_weights="map_class_weights")
    schedule = dict(name="cosine", warmup="1 epoch")
    config.optimizer = dict(name="adam", learning_rate=2e-3, schedule=schedule)
    config.total = "60 epochs"
    return config
