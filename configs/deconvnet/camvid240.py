"""A narrow DeconvNet that segments road scenes of 240x180 pixels.

System:    DeconvNet (Noh et al. 2015, arXiv 1505.04366): segment images
Command:   python -m experiments.prepare --dataset=camvid240
           python -m experiments.train --config=configs/deconvnet/camvid240.py
Hardware:  two CPU cores
Expected:  no result is claimed: published results are for twice the resolution
Source:    Noh, Hong and Han 2015, "Learning Deconvolution Network for Semantic Segmentation" (arXiv
           1505.04366)

The network has a quarter of VGG-16's width, and 128 channels between its halves in place of 4096.
Images have a side of six cells only, so the windows there are 5x5 in place of 7x7.
"""

from ml_collections import ConfigDict

from library import presets


def get_config(variant: str = "") -> ConfigDict:
    config = presets.camvid("camvid240", 8)
    config.augment = [dict(name="flip_lr")]
    config.model = dict(name="deconvnet", width=16, hidden_size=128, window=5)
    config.task = dict(name="segmentation", ignore=11)
    schedule = dict(name="cosine", warmup="1 epoch")
    config.optimizer = dict(name="adamw", learning_rate=2e-3, weight_decay=0.05, schedule=schedule)
    config.total = "60 epochs"
    return config
