"""Plain ViT-S/16 on ImageNet-1k.

System:    ViT (Dosovitskiy et al. 2020, arXiv 2010.11929): classify images
Command:   python -m experiments.prepare --dataset=imagenet2012 --manual_dir=DIR
           python -m experiments.train --config=configs/vit/imagenet_s16.py:90ep
Hardware:  eight devices; not run here. The original takes 6 to 7 hours on TPU v3-8 (:90ep).
           `:smoke` is a small network on noise, on two CPU cores.
Expected:  test/accuracy 0.765 (:90ep) and 0.800 (:300ep)
Source:    Beyer, Zhai and Kolesnikov 2022, "Better plain ViT baselines for ImageNet-1k", arXiv
           2205.01580, whose abstract has 80; recipe and 76.5 from google-research/big_vision,
           big_vision/configs/vit_s16_i1k.py.

The network trains on the first 99 % of the training set. The rest is `minival`, which selects the
best checkpoint. big_vision does not multiply its weight decay of 1e-4 by the learning rate: this is
a weight decay of 0.1 in adamw, at a peak rate of 1e-3.

What differs: big_vision's config has a hidden tanh layer before the head, and the head here is
linear (for a linear head, the report has 76.7 at 90 epochs, as quoted by EIFY/mup-vit). Mixup draws
a weight for each example, not for each batch. RandAugment has the 14 operations of its own paper,
not the 16 of big_vision. GELU is exact, not its tanh approximation. Resizing is antialiased.
"""

from ml_collections import ConfigDict

from library import presets

# Length, reported accuracy.
VARIANTS = {
    "90ep": ("90 epochs", 0.765),
    "300ep": ("300 epochs", 0.800),
    "smoke": ("6 steps", None),
}


def get_config(variant: str = "90ep") -> ConfigDict:
    total, reported = VARIANTS[variant]
    config = presets.imagenet(train="train[:99%]", batch_size=1024)
    config.preprocess = presets.crops(**presets.TENSORFLOW_BOX)
    config.augment = [
        dict(name="flip_lr"),
        dict(name="rand_augment", num_layers=2, magnitude=10.0),
        dict(name="mixup", alpha=0.2),
    ]
    config.normalize = presets.SIGNED
    config.model = dict(name="vit.vit_s16", num_classes=1000, pool="gap", positions="sincos2d")
    config.task = dict(name="classification")
    config.optimizer = dict(
        name="adamw",
        learning_rate=1e-3,
        b1=0.9,
        b2=0.999,
        mu_dtype="bfloat16",
        weight_decay=0.1,
        clip=dict(global_norm=1.0),
        schedule=dict(name="cosine", warmup="10_000 steps"),
    )
    config.total = total
    config.evaluate = dict(
        minival=dict(kind="metrics", split="train[99%:]", every="2 epochs"),
        test=dict(kind="metrics", every="2 epochs"),
    )
    config.checkpoint = dict(every="2 epochs", best="minival/accuracy")
    config.log_every = "50 steps"
    if variant == "smoke":
        _shrink(config)
    else:
        config.reported = dict(
            metric="test/accuracy", value=reported, source="big_vision; Beyer et al. 2022"
        )
    return config


def _shrink(config: ConfigDict) -> None:
    presets.shrink(
        config,
        size=64,
        name="vit",
        num_classes=10,
        width=32,
        depth=2,
        num_heads=2,
        patch_size=16,
        pool="gap",
        positions="sincos2d",
    )
    config.dataset.train = "train[:48]"
    config.evaluate.minival.split = "train[48:64]"
