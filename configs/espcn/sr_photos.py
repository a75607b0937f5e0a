"""ESPCN enlarges photographs: the network that works on the small image.

System:    ESPCN (Shi et al. 2016, arXiv 1609.05158): enlarge photographs
Command:   python -m experiments.prepare --dataset=sr_photos/cbsd68
           python -m experiments.prepare --dataset=sr_photos/set5
           python -m experiments.prepare --dataset=sr_photos/set14
           python -m experiments.train --config=configs/espcn/sr_photos.py:cpu_x3
Hardware:  any; two CPU cores for :cpu_x3, about half an hour; `:smoke` is a narrow network on noise
Expected:  set5/psnr 32.55 at scale 3; bicubic interpolation has 30.39
Source:    Shi et al. 2016, table 1: tanh and 91 training images, Set5 at scale 3. Squares of 17
           pixels of the small image; the rate falls from 0.01 to 0.0001.

The paper trains on 91 images of Yang et al., or on 50,000 of ImageNet. This recipe trains on 60
photographs of CBSD68, which are JPEGs of quality 90. It uses Adam. `:cpu_x3` is the same network
for fewer steps.
"""

from ml_collections import ConfigDict

from library import presets

# Scale, side of a small square, batch, length, learning rate.
VARIANTS = {
    "x3": (3, 17, 16, "200000 steps", 1e-3),
    "x2": (2, 17, 16, "200000 steps", 1e-3),
    "x4": (4, 17, 16, "200000 steps", 1e-3),
    "cpu_x3": (3, 17, 16, "60000 steps", 2e-3),
    "smoke": (3, 6, 8, "3 steps", 1e-3),
}


def get_config(variant: str = "x3") -> ConfigDict:
    scale, patch, batch_size, total, rate = VARIANTS[variant]
    config = presets.photographs(scale, patch, batch_size)
    config.model = dict(name="espcn", scale=scale)
    config.task = dict(
        name="restoration",
        degradation=dict(name="downscale", factor=scale),
        channels="luma",
        loss="l2",
    )
    config.optimizer = dict(name="adam", learning_rate=rate, schedule=dict(name="cosine"))
    config.total = total
    if variant.endswith("x3"):
        config.reported = dict(metric="set5/psnr", value=32.55, source="Shi et al. 2016, table 1")
    if variant == "smoke":
        presets.shrink_photographs(config)
        config.model.widths = [4, 4]
    return config
