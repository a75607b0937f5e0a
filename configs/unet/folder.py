"""A narrow U-Net for images and maps of your own.

System:    U-Net (Ronneberger et al. 2015, arXiv 1505.04597): segment images
Command:   python -m experiments.train --config=configs/unet/folder.py \\
               --config.dataset.data_dir=scenes
Hardware:  any; a small accelerator for more than a few hundred images
Expected:  no result is claimed: it depends on your images
Source:    Ronneberger et al. 2015, "U-Net: Convolutional Networks for Biomedical Image
           Segmentation" (arXiv 1505.04597)

The folder has `images/`, `maps/` and `classes.txt`, see library/data/segmentation_folder.py. Images
are reduced to 256 pixels on their shorter side. A tenth of them is for the tests.
"""

from ml_collections import ConfigDict


def get_config(variant: str = "") -> ConfigDict:
    config = ConfigDict()
    config.dataset = dict(
        name="segmentation_folder",
        data_dir="scenes",
        train="train[:90%]",
        test="train[90%:]",
        batch_size=8,
        eval_batch_size=8,
    )
    short = [dict(name="decode"), dict(name="resize_short", size=256)]
    config.preprocess = dict(
        train=[*short, dict(name="random_crop", size=256)],
        test=[*short, dict(name="center_crop", size=256)],
    )
    config.augment = [
        dict(name="flip_lr"),
        dict(name="affine", degrees=10.0, scale=[0.8, 1.25]),
        dict(name="color_jitter", brightness=0.3, contrast=0.3, saturation=0.3),
    ]
    config.normalize = dict(mean=[0.5, 0.5, 0.5], std=[0.25, 0.25, 0.25])
    widths = [16, 32, 64, 128, 256]
    config.model = dict(name="unet", widths=widths, normalization="batch", dropout=0.2)
    config.task = dict(name="segmentation")
    schedule = dict(name="cosine", warmup="1 epoch")
    config.optimizer = dict(name="adamw", learning_rate=2e-3, weight_decay=0.05, schedule=schedule)
    config.total = "60 epochs"
    config.evaluate = dict(
        test=dict(kind="metrics", every="10%"),
        cases=dict(kind="cases", score="mean_iou", mode="max", every="50%"),
    )
    config.checkpoint = dict(every="10%")
    config.log_every = "20 steps"
    config.seed = 0
    return config
