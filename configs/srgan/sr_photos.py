"""SRResNet and SRGAN enlarge photographs four times: one for decibels, one for the eye.

System:    SRGAN (Ledig et al. 2017, arXiv 1609.04802): enlarge photographs
Command:   python -m experiments.prepare --dataset=sr_photos/cbsd68
           python -m experiments.prepare --dataset=sr_photos/set5
           python -m experiments.prepare --dataset=sr_photos/set14
           python -m experiments.train --config=configs/srgan/sr_photos.py:srresnet
           python -m experiments.train --config=configs/srgan/sr_photos.py:srgan
Hardware:  one accelerator (not run here); two CPU cores for :cpu, a narrow and shallow SRGAN, about
           two hours; `:smoke` is a narrow network on noise
Expected:  no result is claimed: the paper trains on 350,000 images of ImageNet. Its set5/psnr is
           32.05 for SRResNet and 30.64 for SRGAN-MSE; bicubic interpolation has 28.42.
Source:    Ledig et al. 2017, tables 1 and 2: Set5. Squares of 96 pixels, batches of 16, Adam with
           a rate of 0.0001 for 10^6 steps, and for SRGAN 10^5 steps with 0.0001 and 10^5 with
           0.00001, from the params of SRResNet

SRGAN compares the features of a VGG-19 in place of pixels. This recipe compares pixels, as the
paper's SRGAN-MSE does; `--config.task.perceptual.teacher=DIR` adds the features of a finished run.
It trains on 60 photographs of CBSD68, which are JPEGs of quality 90, and from new params.
"""

from ml_collections import ConfigDict

from library import presets

SMALL = dict(depth=4, width=24)
# Arguments of the network, of the discriminator or None, side of a small square, batch, length.
VARIANTS = {
    "srresnet": ({}, None, 24, 16, "1000000 steps"),
    "srgan": ({}, {}, 24, 16, "200000 steps"),
    "cpu": (SMALL, dict(width=16, hidden=64), 12, 8, "15000 steps"),
    "smoke": (dict(depth=1, width=4), dict(width=2, hidden=4), 4, 8, "3 steps"),
}
# 0.001 for images in [-1, 1], whose squared error is four times that in [0, 1].
ADVERSARIAL = 2.5e-4


def get_config(variant: str = "srresnet") -> ConfigDict:
    network, opposed, patch, batch_size, total = VARIANTS[variant]
    config = presets.photographs(4, patch, batch_size)
    config.model = dict(name="srresnet", scale=4, **network)
    config.task = dict(
        name="restoration",
        degradation=dict(name="downscale", factor=4, rounded=True),
        loss="l2",
    )
    adam = dict(name="adam", learning_rate=1e-4)
    config.optimizer = dict(adam)
    if opposed is not None:
        discriminator = dict(name="srresnet.discriminator", **opposed)
        config.model = dict(generator=config.model.to_dict(), discriminator=discriminator)
        config.task.update(name="adversarial_restoration", adversarial_weight=ADVERSARIAL)
        falling = dict(adam, schedule=dict(name="step", boundaries=["50%"], factor=0.1))
        config.optimizer = dict(generator=falling, discriminator=dict(falling))
        # The discriminator's params fit images of one size, so the host crops.
        config.preprocess["train"] += config.augment[:1]
        config.augment = config.augment[1:]
        config.dataset.cache = "none"
    config.total = total
    if variant == "smoke":
        config.optimizer = dict(adam)
        presets.shrink_photographs(config)
    return config
