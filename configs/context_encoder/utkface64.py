"""A context encoder fills the centre of faces.

System:    Context encoder (Pathak et al. 2016, arXiv 1604.07379): fill holes in photographs
Command:   python -m experiments.prepare --dataset=utkface64
           python -m experiments.train --config=configs/context_encoder/utkface64.py:cpu
Hardware:  one accelerator for :paper (not run here); two CPU cores for :l2 and :cpu, less than an
           hour; `:smoke` is a narrow network on noise
Expected:  no result is claimed: the paper measures photographs of Paris and of ImageNet
Source:    Pathak et al. 2016, section 3 and the authors' program: a hole of a quarter of the image
           in the centre, filled with grey; squared error with weight 0.999 and the adversarial
           loss with weight 0.001, Adam with a momentum of 0.5 and a rate of 0.0002, ten times that
           of the discriminator

The paper weighs a border of seven pixels around the hole ten times; here only lost pixels count,
and the discriminator sees the whole image. `:l2` has no discriminator. `:cpu` is narrower.
"""

from ml_collections import ConfigDict

from library import presets

# Width, discriminator's width or None, batch, length.
VARIANTS = {
    "paper": (64, 64, 64, "200 epochs"),
    "l2": (32, None, 32, "40 epochs"),
    "cpu": (32, 16, 32, "30 epochs"),
    "smoke": (4, 4, 8, "3 steps"),
}


def get_config(variant: str = "paper") -> ConfigDict:
    width, opposed, batch_size, total = VARIANTS[variant]
    config = ConfigDict()
    config.dataset = dict(name="utkface64", train="train", test="test", cache="device")
    config.dataset.update(batch_size=batch_size, eval_batch_size=100)
    config.preprocess = [dict(name="decode"), dict(name="select", keys=["image"])]
    config.augment = [dict(name="flip_lr")]
    config.model = dict(name="context_encoder", width=width)
    config.task = dict(name="restoration", degradation=dict(name="erase", area=0.25), loss="l2")
    config.task.measure = "all"
    config.optimizer = dict(name="adam", learning_rate=1e-3, schedule=dict(name="cosine"))
    if opposed is not None:
        discriminator = dict(name="dcgan.discriminator", width=opposed)
        config.model = dict(generator=config.model.to_dict(), discriminator=discriminator)
        # 0.001 for images in [-1, 1], whose squared error is four times that in [0, 1].
        config.task.update(name="adversarial_restoration", adversarial_weight=2.5e-4)
        config.optimizer = dict(
            generator=dict(name="adam", learning_rate=2e-3, b1=0.5),
            discriminator=dict(name="adam", learning_rate=2e-4, b1=0.5),
        )
    config.total = total
    shown = dict(kind="samples", output="triplet", split="test", num=8)
    config.evaluate = dict(
        test=dict(kind="metrics", every="10%"),
        shown=dict(every="25%", **shown),
        cases=dict(kind="cases", output="triplet", score="psnr", mode="max", every="100%"),
    )
    config.checkpoint = dict(every="10%", best="test/psnr")
    config.log_every = "1%"
    config.seed = 0
    if variant == "smoke":
        config.optimizer = dict(name="adam", learning_rate=2e-4)
        presets.shrink_photographs(config, "synthetic/32x10")
    return config
