"""Swin Transformer on ImageNet-1k, by torchvision's recipe and by its authors' recipe.

System:    Swin Transformer (Liu et al. 2021, arXiv 2103.14030): classify images
Command:   python -m experiments.prepare --dataset=imagenet2012 --manual_dir=DIR
           python -m experiments.train --config=configs/swin/imagenet.py:t
Hardware:  eight devices; not run here. `:smoke` is a small network on noise, on two CPU cores.
Expected:  test_ema/accuracy 0.8147 (:t), 0.8320 (:s), 0.8358 (:b); test/accuracy 0.812
           (:t_authors)
Source:    torchvision, weights Swin_T_Weights.IMAGENET1K_V1 (81.474, 95.776), Swin_S (83.196) and
           Swin_B (83.582); pytorch/vision, references/classification/README.md: 300 epochs, batches
           of 1024, AdamW, rate 1e-3, 20 epochs of warmup from a hundredth, cosine to 1e-5, decay
           0.05 except for biases, normalization and positions, gradients clipped to a norm of 5,
           TrivialAugment, erasing with probability 0.25, mixup or cutmix, smoothing 0.1, averages,
           each image four times in its batch; bicubic resizing, tested on the centre 224 of 232,
           246 and 238.
           Liu et al. 2021, "Swin Transformer: Hierarchical vision transformer using shifted
           windows", arXiv 2103.14030, appendix A2.1; microsoft/Swin-Transformer, README (81.2,
           95.5) and config.py: the same except for RandAugment, no averages, each image once, the
           centre 224 of 256.

Drop path is 0.2, 0.3 and 0.5. AdamW multiplies the weight decay by the learning rate.

What differs: mixup or cutmix is drawn for each example, not for each batch. torchvision erases to
the mean of each channel, not to grey, and changes its learning rate once per epoch. The authors'
cosine starts at the start of the warmup. RandAugment has the 14 operations of its own paper.
torchvision does not say whether its weights are running averages; the claim assumes it.
"""

from ml_collections import ConfigDict

from library import presets

# Model, shorter side of test images, metric, reported accuracy, source.
_TORCHVISION = "torchvision, Swin_{}_Weights.IMAGENET1K_V1"
VARIANTS = {
    "t": ("swin_t", 232, "test_ema/accuracy", 0.81474, _TORCHVISION.format("T")),
    "s": ("swin_s", 246, "test_ema/accuracy", 0.83196, _TORCHVISION.format("S")),
    "b": ("swin_b", 238, "test_ema/accuracy", 0.83582, _TORCHVISION.format("B")),
    "t_authors": ("swin_t", 256, "test/accuracy", 0.812, "microsoft/Swin-Transformer, README"),
    "smoke": ("swin_t", 232, "test_ema/accuracy", None, ""),
}


def get_config(variant: str = "t") -> ConfigDict:
    model, short, metric, reported, source = VARIANTS[variant]
    epochs, batch_size = 300, 1024
    config = presets.imagenet(batch_size=batch_size, repeats=1 if variant == "t_authors" else 4)
    config.preprocess = presets.crops(short=short, method="bicubic")
    config.augment = [
        dict(name="flip_lr"),
        dict(name="trivial_augment"),
        dict(name="random_erasing", probability=0.25, area=[0.02, 0.33], fill=0.45),
        dict(name="mixup_cutmix", mixup_alpha=0.8, cutmix_alpha=1.0),
    ]
    config.normalize = presets.IMAGENET_COLOURS
    config.model = dict(name=f"swin.{model}", num_classes=1000)
    config.task = dict(name="classification", label_smoothing=0.1)
    config.optimizer = dict(
        name="adamw",
        learning_rate=1e-3,
        b1=0.9,
        b2=0.999,
        weight_decay=0.05,
        clip=dict(global_norm=5.0),
        schedule=dict(name="cosine", warmup="20 epochs", warmup_from=0.01, final=0.01),
    )
    config.total = f"{epochs} epochs"
    config.ema = presets.torchvision_average(batch_size, epochs)
    config.checkpoint = dict(every="1 epoch", best=metric)
    config.log_every = "50 steps"
    if variant == "t_authors":
        config.augment[1:3] = [
            dict(
                name="rand_augment", num_layers=2, magnitude=9.0, magnitude_std=0.5, probability=0.5
            ),
            dict(name="random_erasing", probability=0.25, area=[0.02, 1 / 3], fill="normal"),
        ]
        config.optimizer.schedule.warmup_from = 1e-3
        del config.ema
    if variant == "smoke":
        _shrink(config)
    else:
        config.reported = dict(metric=metric, value=reported, source=source)
    return config


def _shrink(config: ConfigDict) -> None:
    presets.shrink(
        config, size=64, name="swin", num_classes=10, width=32, depths=[2, 2], drop_path=0.1
    )
    config.ema = dict(decay=0.9, every=2)
