"""EDSR enlarges photographs: residual blocks without normalization.

System:    EDSR (Lim et al. 2017, arXiv 1707.02921): enlarge photographs
Command:   python -m experiments.prepare --dataset=sr_photos/cbsd68
           python -m experiments.prepare --dataset=sr_photos/set5
           python -m experiments.prepare --dataset=sr_photos/set14
           python -m experiments.train --config=configs/edsr/sr_photos.py:small_x3
Hardware:  one accelerator for the baselines (not run here); two CPU cores for :small_x3, about an
           hour; `:smoke` is a narrow network on noise
Expected:  no result is claimed: the authors train on the 800 images of DIV2K. Their set5/psnr is
           37.99, 34.37 and 32.09 at scales 2, 3 and 4; bicubic interpolation has 33.66, 30.39 and
           28.42.
Source:    Lim et al. 2017, table 1, and their program's list of models, EDSR-baseline. Squares of
           48 pixels of the small image, batches of 16, L1, rate 0.0001 that is halved every 200,000
           steps.

This recipe trains on 60 photographs of CBSD68, which are JPEGs of quality 90: too few for the
baselines to reach these figures. `:small_x3` has eight blocks of 32 channels on luma, and adds to
the bicubic enlargement.
"""

from ml_collections import ConfigDict

from library import presets

# Network, scale, side of a small square, batch, length, learning rate.
VARIANTS = {
    "baseline_x2": ("edsr_baseline", 2, 48, 16, "300000 steps", 1e-4),
    "baseline_x3": ("edsr_baseline", 3, 48, 16, "300000 steps", 1e-4),
    "baseline_x4": ("edsr_baseline", 4, 48, 16, "300000 steps", 1e-4),
    "small_x3": ("edsr_small", 3, 24, 8, "30000 steps", 1e-3),
    "smoke": ("edsr_small", 3, 6, 8, "3 steps", 1e-3),
}


def get_config(variant: str = "baseline_x2") -> ConfigDict:
    model, scale, patch, batch_size, total, rate = VARIANTS[variant]
    config = presets.photographs(scale, patch, batch_size)
    config.model = dict(name=f"edsr.{model}", scale=scale)
    config.task = dict(
        name="restoration", degradation=dict(name="downscale", factor=scale), loss="l1"
    )
    config.optimizer = dict(name="adam", learning_rate=rate, schedule=dict(name="cosine"))
    if model == "edsr_baseline":
        config.task.degradation.rounded = True
        config.optimizer.schedule = dict(name="step", boundaries=["67%"], factor=0.5)
    else:
        config.task.channels = "luma"
        config.model.channels = 1
    config.total = total
    if variant == "smoke":
        presets.shrink_photographs(config)
        config.model.update(depth=1, width=4)
    return config
