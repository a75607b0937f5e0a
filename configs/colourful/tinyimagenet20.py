"""Colours for grey photographs: by classes of colour, and by regression.

System:    Colorful Image Colorization (Zhang et al. 2016, arXiv 1603.08511): colour grey images
Command:   python -m experiments.prepare --dataset=tinyimagenet20
           python -m experiments.prepare --dataset=sr_photos/cbsd68
           python -m experiments.train --config=configs/colourful/tinyimagenet20.py:cpu
           python -m experiments.train --config=configs/colourful/tinyimagenet20.py:regression
           python -m experiments.train --config=configs/fine_tuning/tinyimagenet20.py:scratch
           python -m experiments.train --config=configs/colourful/tinyimagenet20.py:judged
Hardware:  one accelerator for :paper (not run here); two CPU cores for the others, about an hour
           each; `:smoke` is a narrow network on noise
Expected:  no result is claimed: the paper measures ImageNet. The grey copies of CBSD68 have 22.8
           dB, and :regression is expected to be above them. Classes of colour give more colour and
           a lower PSNR.
Source:    Zhang et al. 2016, section 2 and the authors' program: 1.3 million images, 313 bins,
           lambda 0.5, Adam with momenta 0.9 and 0.99, a rate of 3.16e-5 that falls to 1e-5 and
           3.16e-6 after 215,000 and 430,000 steps, weight decay 0.001, batches of 40, 450,000 steps

This recipe trains on the 10,000 small photographs of tinyimagenet20, and also measures CBSD68.
`:cpu` is the network at a quarter of its width. `:regression` is a U-Net that predicts a and b of
CIE Lab. `:judged` also asks a classifier of this project, which sees 32 pixels, which photographs
it recognizes.
"""

from ml_collections import ConfigDict

from library import presets

BINS = dict(name="colourization", rebalance=True)
PLAIN = dict(name="colourization", objective="regression")
UNET = dict(name="unet", num_classes=2, normalization="batch", dropout=0.0)
# Network, task, batch, length, learning rate.
VARIANTS = {
    "paper": (dict(name="colourful", num_classes=313), BINS, 40, "450000 steps", 3.16e-5),
    "cpu": (dict(name="colourful", num_classes=313, width=16), BINS, 32, "15 epochs", 1e-3),
    "regression": (dict(UNET, widths=[16, 32, 64, 128]), PLAIN, 32, "15 epochs", 1e-3),
    "judged": (dict(name="colourful", num_classes=313, width=16), BINS, 32, "15 epochs", 1e-3),
    "smoke": (dict(name="colourful", num_classes=313, width=2), BINS, 8, "3 steps", 1e-3),
}


def get_config(variant: str = "paper") -> ConfigDict:
    model, task, batch_size, total, rate = VARIANTS[variant]
    config = ConfigDict()
    config.dataset = dict(name="tinyimagenet20", train="train", test="val", cache="device")
    config.dataset.update(batch_size=batch_size, eval_batch_size=50)
    weigh = [dict(name="colour_weights")] if task.get("rebalance") else []
    config.preprocess = [dict(name="decode"), *weigh]
    config.augment = [dict(name="flip_lr")]
    config.model = dict(model)
    config.task = dict(task)
    config.optimizer = dict(name="adam", learning_rate=rate, schedule=dict(name="cosine"))
    if variant == "paper":
        steps = dict(name="step", boundaries=["47.8%", "95.6%"], factor=0.316)
        config.optimizer.update(b2=0.99, weight_decay=1e-3, schedule=steps)
    config.total = total
    upright = [dict(name="decode"), dict(name="landscape"), dict(name="crop_multiple", unit=8)]
    config.splits = dict(bsd68=dict(dataset="sr_photos/cbsd68", preprocess=[*upright, *weigh]))
    shown = dict(kind="cases", output="triplet", score="psnr", mode="max", every="100%")
    config.evaluate = dict(
        test=dict(kind="metrics", every="10%"),
        bsd68=dict(kind="metrics", split="bsd68", batch_size=4, every="50%"),
        shown=dict(split="test", **shown),
    )
    config.checkpoint = dict(every="10%", best="test/loss")
    config.log_every = "1%"
    config.seed = 0
    if variant == "judged":
        judge = dict(classifier="runs/fine_tuning-tinyimagenet20-scratch", beside=["grey"], size=32)
        config.evaluate.recognized = dict(kind="judged_accuracy", every="100%", **judge)
    if variant == "smoke":
        presets.shrink_photographs(config, "synthetic/32x10")
    return config
