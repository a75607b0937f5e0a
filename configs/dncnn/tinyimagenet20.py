"""DnCNN removes noise from grey photographs.

System:    DnCNN (Zhang et al. 2017, arXiv 1608.03981): remove noise from photographs
Command:   python -m experiments.prepare --dataset=tinyimagenet20
           python -m experiments.prepare --dataset=sr_photos/cbsd68
           python -m experiments.train --config=configs/dncnn/tinyimagenet20.py:cpu
Hardware:  one accelerator for :s25 and :blind (not run here); two CPU cores for :cpu, about an
           hour; `:smoke` is a narrow network on noise
Expected:  no result is claimed: the paper's figure, 29.23 dB on BSD68 with noise of 25, is for the
           lossless photographs, and these are JPEGs of quality 90. Noisy images have 20.2 dB; 28.3
           dB are expected of :cpu.
Source:    Zhang et al. 2017, section IV: 17 layers for one level of noise, 20 layers for levels of
           0 to 55; 400 images, squares of 40 or 50 pixels, batches of 128, 50 epochs

This recipe trains on the 10,000 small photographs of tinyimagenet20, and measures the 68
photographs of CBSD68 in grey. `:cpu` has ten layers of 32 channels.
"""

from ml_collections import ConfigDict

from library import presets

BLIND = dict(name="gaussian_noise", blind=[0.0, 55.0])
LEVEL = dict(name="gaussian_noise", sigma=25.0)
# Network, degradation, batch, length, learning rate.
VARIANTS = {
    "s25": (dict(name="dncnn"), LEVEL, 128, "50 epochs", 1e-3),
    "blind": (dict(name="dncnn.dncnn_b"), BLIND, 128, "50 epochs", 1e-3),
    "cpu": (dict(name="dncnn", depth=10, width=32), LEVEL, 16, "12 epochs", 2e-3),
    "smoke": (dict(name="dncnn", depth=3, width=4), LEVEL, 8, "3 steps", 1e-3),
}


def get_config(variant: str = "s25") -> ConfigDict:
    model, degradation, batch_size, total, rate = VARIANTS[variant]
    config = ConfigDict()
    config.dataset = dict(name="tinyimagenet20", train="train", test="val", cache="device")
    config.dataset.update(batch_size=batch_size, eval_batch_size=50)
    config.preprocess = [dict(name="decode", channels=1), dict(name="select", keys=["image"])]
    config.augment = [dict(name="random_crop", size=40)]
    config.augment += [dict(name="flip_lr"), dict(name="quarter_turns")]
    config.model = model
    config.task = dict(
        name="restoration", degradation=degradation, test_degradation=LEVEL, loss="l2"
    )
    config.optimizer = dict(name="adam", learning_rate=rate, schedule=dict(name="cosine"))
    config.total = total
    upright = [dict(name="decode", channels=1), dict(name="landscape")]
    config.splits = dict(bsd68=dict(dataset="sr_photos/cbsd68", preprocess=upright))
    shown = dict(kind="cases", output="triplet", score="psnr", mode="max", num=1, every="100%")
    config.evaluate = dict(
        test=dict(kind="metrics", every="10%"),
        bsd68=dict(kind="metrics", split="bsd68", batch_size=4, every="25%"),
        shown=dict(split="bsd68", batch_size=4, **shown),
    )
    config.checkpoint = dict(every="10%", best="test/psnr")
    config.log_every = "1%"
    config.seed = 0
    if variant == "smoke":
        presets.shrink_photographs(config)
    return config
