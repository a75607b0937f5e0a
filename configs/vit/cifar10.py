"""Vision Transformers with 5 to 6 million params on CIFAR-10, with patches of 4x4 pixels.

System:    ViT (Dosovitskiy et al. 2020, arXiv 2010.11929): classify images
Command:   python -m experiments.prepare --dataset=cifar10
           python -m experiments.train --config=configs/vit/cifar10.py:vit_cifar
Hardware:  one GPU; the original takes 2 h 14 min (V100); not run here. `:smoke` is eight small
           steps on noise, on two CPU cores.
Expected:  test/accuracy 0.9092 (:vit_cifar); less without strong augmentation (:plain). There are
           no published results for :plain, and none for ViT-Ti with this recipe (:ti4)
Source:    omihub777/ViT-CIFAR, README: 7 layers, 384 wide in the feed-forward layers too, 12 heads,
           6.3 M params; 200 epochs in batches of 128, Adam with a rate of 1e-3 falling to 1e-5 on a
           cosine after 5 epochs of warmup, weight decay 5e-5 (added to the gradient, as in
           PyTorch's Adam), AutoAugment, label smoothing 0.1, no dropout.

The network of the original differs in three ways: a GELU also follows the second feed-forward
layer, attention is scaled by the square root of 384 instead of 32, the width of a head, and class
token and positions start from a normal distribution with a standard deviation of 1. Its cosine is
for 200 epochs after the warmup, so that its end is cut off. Its training uses mixed precision
(`--config.model.dtype=bfloat16`).

`:plain` has crops and flips only, and no label smoothing. The `_jpeg` variants read the same images
after JPEG compression: there are no published results for them.
"""

from ml_collections import ConfigDict

from library import presets

_VIT_CIFAR = dict(name="vit", patch_size=4, width=384, hidden=384, depth=7, num_heads=12)
# Model, dataset, whether augmentation is strong, reported accuracy.
VARIANTS = {
    "vit_cifar": (_VIT_CIFAR, "cifar10", True, 0.9092),
    "plain": (_VIT_CIFAR, "cifar10", False, None),
    "vit_cifar_jpeg": (_VIT_CIFAR, "cifar10_jpeg", True, None),
    "plain_jpeg": (_VIT_CIFAR, "cifar10_jpeg", False, None),
    "ti4": (dict(name="vit.vit_ti4"), "cifar10", True, None),
    "smoke": (_VIT_CIFAR, "synthetic/32x10", True, None),
}


def get_config(variant: str = "vit_cifar") -> ConfigDict:
    model, dataset, strong, reported = VARIANTS[variant]
    config = presets.in_memory(dataset, batch_size=128)
    config.augment = [dict(name="random_crop", padding=4), dict(name="flip_lr")]
    if strong:
        config.augment.append(dict(name="auto_augment", policy="cifar"))
    config.normalize = presets.CIFAR10_COLOURS
    config.model = dict(num_classes=10, pool="cls", positions="learned", **model)
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
        presets.shrink(config, dataset)
        config.model.update(width=32, hidden=32, depth=2, num_heads=4)
    return config
