"""SRCNN enlarges photographs: three convolutions on the bicubic enlargement.

System:    SRCNN (Dong et al. 2014, arXiv 1501.00092): enlarge photographs
Command:   python -m experiments.prepare --dataset=sr_photos/cbsd68
           python -m experiments.prepare --dataset=sr_photos/set5
           python -m experiments.prepare --dataset=sr_photos/set14
           python -m experiments.train --config=configs/srcnn/sr_photos.py:cpu_x3
Hardware:  one accelerator for the full length; two CPU cores for :cpu_x3, about an hour; `:smoke`
           is a narrow network on noise
Expected:  set5/psnr 32.75 at scale 3, 36.66 at 2 and 30.49 at 4; bicubic interpolation has 30.39,
           33.66 and 28.42. No result is claimed for :cpu_x3.
Source:    Dong et al. 2015, table 2: kernels of 9, 5 and 5, trained on ImageNet, Set5. Squares of
           33 pixels of the enlarged image, rate 0.0001, and 0.00001 for the last layer.

The paper trains on 395,909 images of ImageNet by SGD, for 8x10^8 squares. This recipe trains on 60
photographs of CBSD68, which are JPEGs of quality 90, by Adam with one rate. `:cpu_x3` is the same
network for fewer and smaller steps.
"""

from ml_collections import ConfigDict

from library import presets

# Scale, side of a small square, batch, length, learning rate, reported decibels.
VARIANTS = {
    "x3": (3, 11, 64, "500000 steps", 3e-4, 32.75),
    "x2": (2, 16, 64, "500000 steps", 3e-4, 36.66),
    "x4": (4, 8, 64, "500000 steps", 3e-4, 30.49),
    "cpu_x3": (3, 11, 16, "30000 steps", 1e-3, None),
    "smoke": (3, 6, 8, "3 steps", 1e-3, None),
}


def get_config(variant: str = "x3") -> ConfigDict:
    scale, patch, batch_size, total, rate, reported = VARIANTS[variant]
    config = presets.photographs(scale, patch, batch_size)
    config.model = dict(name="srcnn", scale=scale)
    config.task = dict(
        name="restoration",
        degradation=dict(name="downscale", factor=scale),
        channels="luma",
        loss="l2",
    )
    config.optimizer = dict(name="adam", learning_rate=rate, schedule=dict(name="cosine"))
    config.total = total
    if reported is not None:
        source = "Dong et al. 2015, table 2"
        config.reported = dict(metric="set5/psnr", value=reported, source=source)
    if variant == "smoke":
        presets.shrink_photographs(config)
        config.model.widths = [4, 4]
    return config
