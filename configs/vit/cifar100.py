"""A Vision Transformer with 6 million params on CIFAR-100, with patches of 4x4 pixels.

System:    ViT (Dosovitskiy et al. 2020, arXiv 2010.11929): classify images
Command:   python -m experiments.prepare --dataset=cifar100
           python -m experiments.train --config=configs/vit/cifar100.py:vit_cifar
Hardware:  one GPU; the original takes 2 h 14 min (V100); not run here. `:smoke` is a small network
           on noise, on two CPU cores.
Expected:  test/accuracy 0.6654 (:vit_cifar); less without strong augmentation (:plain), for which
           there is no published result
Source:    omihub777/ViT-CIFAR, README: 7 layers, 384 wide in the feed-forward layers too, 12 heads,
           6.3 M params; 200 epochs in batches of 128, Adam with a rate of 1e-3 falling to 1e-5 on a
           cosine after 5 epochs of warmup, weight decay 5e-5 (added to the gradient, as in
           PyTorch's Adam), AutoAugment, label smoothing 0.1, no dropout.

`:plain` has only crops and flips, and no label smoothing. For the differences from the original see
configs/vit/cifar10.py.
"""

from ml_collections import ConfigDict

from library import presets

# Whether augmentation is strong, reported accuracy.
VARIANTS = {"vit_cifar": (True, 0.6654), "plain": (False, None), "smoke": (True, None)}


def get_config(variant: str = "vit_cifar") -> ConfigDict:
    strong, reported = VARIANTS[variant]
    config = presets.in_memory("cifar100", batch_size=128)
    config.augment = [dict(name="random_crop", padding=4), dict(name="flip_lr")]
    if strong:
        config.augment.append(dict(name="auto_augment", policy="cifar"))
    config.normalize = presets.CIFAR100_COLOURS
    config.model = dict(
        name="vit",
        num_classes=100,
        patch_size=4,
        width=384,
        hidden=384,
        depth=7,
        num_heads=12,
        pool="cls",
        positions="learned",
    )
    config.task = dict(name="classification", label_smoothing=0.1 if strong else 0.0)
    config.optimizer = dict(
        name="adam",
        learning_rate=1e-3,
        weight_decay=5e-5,
        decayed="all",
        schedule=dict(name="cosine", warmup="5 epochs", final=0.01),
    )
    config.total = "200 epochs"
    if reported is not None:
        config.reported = dict(metric="test/accuracy", value=reported, source="omihub777/ViT-CIFAR")
    if variant == "smoke":
        presets.shrink(config, "synthetic/32x100")
        config.model.update(width=32, hidden=32, depth=2, num_heads=4)
    return config
