"""VDSR enlarges photographs: twenty layers compute what bicubic interpolation lacks.

System:    VDSR (Kim et al. 2016, arXiv 1511.04587): enlarge photographs
Command:   python -m experiments.prepare --dataset=sr_photos/cbsd68
           python -m experiments.prepare --dataset=sr_photos/set5
           python -m experiments.prepare --dataset=sr_photos/set14
           python -m experiments.train --config=configs/vdsr/sr_photos.py:x3
Hardware:  one accelerator (not run here); two CPU cores for :cpu_x3, eight layers of 32 channels,
           about an hour; `:smoke` is a narrow network on noise
Expected:  set5/psnr 33.66 for :x3; bicubic interpolation has 30.39. No result is claimed for
           :cpu_x3.
Source:    Kim et al. 2016: Set5 at scale 3. Squares of 41 pixels of the enlarged image,
           batches of 64, SGD with momentum 0.9 and weight decay 0.0001, a rate of 0.1 that is
           divided by 10 every 20 of 80 epochs, and gradients clipped by the rate.

The paper trains one network for three scales on 291 images. This recipe trains one scale on 60
photographs of CBSD68, which are JPEGs of quality 90, by Adam, which needs no such clipping.
"""

from ml_collections import ConfigDict

from library import presets

# Scale, side of a small square, batch, length, learning rate, arguments of the network.
VARIANTS = {
    "x3": (3, 14, 64, "200000 steps", 1e-4, {}),
    "cpu_x3": (3, 14, 8, "20000 steps", 1e-3, dict(depth=8, width=32)),
    "smoke": (3, 6, 8, "3 steps", 1e-3, dict(depth=3, width=4)),
}


def get_config(variant: str = "x3") -> ConfigDict:
    scale, patch, batch_size, total, rate, network = VARIANTS[variant]
    config = presets.photographs(scale, patch, batch_size)
    config.model = dict(name="vdsr", scale=scale, **network)
    config.task = dict(
        name="restoration",
        degradation=dict(name="downscale", factor=scale),
        channels="luma",
        loss="l2",
    )
    config.optimizer = dict(name="adam", learning_rate=rate, schedule=dict(name="cosine"))
    config.total = total
    if variant == "x3":
        config.reported = dict(metric="set5/psnr", value=33.66, source="Kim et al. 2016, Set5")
    if variant == "smoke":
        presets.shrink_photographs(config)
    return config
