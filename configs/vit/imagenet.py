"""ViT-B on ImageNet-1k only, by torchvision's recipe and by Scenic's, without and with AugReg.

System:    ViT (Dosovitskiy et al. 2020, arXiv 2010.11929): classify images
Command:   python -m experiments.prepare --dataset=imagenet2012 --manual_dir=DIR
           python -m experiments.train --config=configs/vit/imagenet.py:b16
Hardware:  64 devices; not run here. `:smoke` is a small network on noise, on two CPU cores.
Expected:  test_ema/accuracy 0.8107 (:b16) and 0.7591 (:b32); test/accuracy 0.797 (:b16_augreg) and
           0.737 (:b16_plain)
Source:    Dosovitskiy et al. 2021, "An image is worth 16x16 words: Transformers for image
           recognition at scale", arXiv 2010.11929. torchvision, weights
           ViT_B_16_Weights.IMAGENET1K_V1 (81.072, 95.318) and ViT_B_32 (75.912, 92.466);
           pytorch/vision, references/classification/README.md: 300 epochs, batches of 4096, AdamW,
           rate 3e-3, 30 epochs of warmup from a thirtieth, cosine, decay 0.3 of all params,
           smoothing 0.11, RandAugment (:b16) or AutoAugment (:b32), mixup or cutmix, gradients
           clipped to a norm of 1, averages, each image three times in its batch.
           Scenic, projects/baselines, README (79.7 and 73.7) and configs/imagenet: batches of 4096,
           Adam, 10,000 steps of warmup, sigmoid loss, dropout 0.1, gradients clipped to 1;
           imagenet_augreg_vit_config.py, after Steiner et al. 2021, "How to train your ViT?", arXiv
           2106.10270: 300 epochs, rate 1e-3, cosine, decay 0.1, RandAugment, mixup, drop path 0.1;
           imagenet_vit_config.py: 90 epochs, rate 3e-3, linear to 1e-5, decay 0.3.

AdamW multiplies the weight decay by the learning rate. Better small ViTs are in imagenet_s16.py and
configs/deit/imagenet.py.

What differs: mixup or cutmix is drawn for each example, not for each batch. Warps take the nearest
pixel. torchvision changes its learning rate once per epoch. It does not say whether its weights are
running averages; the claim assumes it. Its batch has 4096 images. Here it has 4032, a multiple of
three and of 64 devices, and the rate is scaled to it. Scenic's RandAugment has a magnitude of 15,
beyond the maximum of 10 here. The biases of Scenic's heads start at -6.9 (:b16_augreg) and -10.
Scenic's :b16_plain has a hidden tanh layer before the head. Its GELU is the tanh approximation.
"""

from ml_collections import ConfigDict

from library import presets

_TORCHVISION = "torchvision, ViT_{}_Weights.IMAGENET1K_V1"
_SCENIC = "Scenic, projects/baselines, README"
# Model, metric, reported accuracy, source.
VARIANTS = {
    "b16": ("vit_b16", "test_ema/accuracy", 0.81072, _TORCHVISION.format("B_16")),
    "b32": ("vit_b32", "test_ema/accuracy", 0.75912, _TORCHVISION.format("B_32")),
    "b16_augreg": ("vit_b16", "test/accuracy", 0.797, _SCENIC),
    "b16_plain": ("vit_b16", "test/accuracy", 0.737, _SCENIC),
    "smoke": ("vit_b16", "test_ema/accuracy", None, ""),
}


def get_config(variant: str = "b16") -> ConfigDict:
    model, metric, reported, source = VARIANTS[variant]
    config = presets.imagenet(batch_size=4096, eval_batch_size=1024)
    config.model = dict(name=f"vit.{model}", num_classes=1000)
    config.optimizer = dict(name="adamw", b1=0.9, b2=0.999, clip=dict(global_norm=1.0))
    if source == _SCENIC:
        _as_in_scenic(config, augreg=variant == "b16_augreg")
    else:
        _as_in_torchvision(config, policy="auto" if variant == "b32" else "rand")
    config.checkpoint = dict(every="1 epoch", best=metric)
    config.log_every = "50 steps"
    if variant == "smoke":
        _shrink(config)
    else:
        config.reported = dict(metric=metric, value=reported, source=source)
    return config


def _as_in_torchvision(config: ConfigDict, policy: str) -> None:
    epochs, batch_size = 300, 4032
    policies = {
        "rand": dict(
            name="rand_augment", num_layers=2, magnitude=9.0, max_magnitude=30.0, fill=0.0
        ),
        "auto": dict(name="auto_augment", policy="imagenet", fill=0.0),
    }
    config.dataset.update(batch_size=batch_size, repeats=3)
    config.preprocess = presets.crops(method="bilinear")
    config.augment = [
        dict(name="flip_lr"),
        policies[policy],
        dict(name="mixup_cutmix", mixup_alpha=0.2, cutmix_alpha=1.0),
    ]
    config.normalize = presets.IMAGENET_COLOURS
    config.task = dict(name="classification", label_smoothing=0.11)
    config.optimizer.update(
        learning_rate=3e-3,
        base_batch=4096,
        weight_decay=0.3,
        decayed="all",
        schedule=dict(name="cosine", warmup="30 epochs", warmup_from=0.033),
    )
    config.total = f"{epochs} epochs"
    config.ema = presets.torchvision_average(batch_size, epochs)


def _as_in_scenic(config: ConfigDict, augreg: bool) -> None:
    config.augment = [dict(name="flip_lr")]
    config.task = dict(name="classification", loss="sigmoid")
    config.model.dropout = 0.1
    config.optimizer.update(
        learning_rate=3e-3,
        weight_decay=0.3,
        decayed="all",
        schedule=dict(name="linear", warmup="10_000 steps", final=1e-5 / 3e-3),
    )
    if augreg:
        config.preprocess = presets.crops(method="bilinear", **presets.TENSORFLOW_BOX)
        config.augment += [
            dict(name="rand_augment", num_layers=2, magnitude=10.0),
            dict(name="mixup", alpha=0.5),
        ]
        config.normalize = presets.SIGNED
        config.model.drop_path = 0.1
        config.optimizer.update(learning_rate=1e-3, weight_decay=0.1)
        config.optimizer.schedule = dict(name="cosine", warmup="10_000 steps")
        config.total = "300 epochs"
    else:
        config.preprocess = presets.crops(method="bicubic")
        config.normalize = presets.IMAGENET_COLOURS
        config.total = "90 epochs"


def _shrink(config: ConfigDict) -> None:
    presets.shrink(config, size=64, name="vit", num_classes=10, width=32, depth=2, num_heads=2)
    config.ema = dict(decay=0.9, every=2)
