"""SimCLR on ImageNet-1k: ResNet-50, by the paper's recipe.

System:    SimCLR (Chen et al. 2020, arXiv 2002.05709): learn features without labels
Command:   python -m experiments.prepare --dataset=imagenet2012 --manual_dir=DIR
           python -m experiments.train --config=configs/simclr/imagenet.py:1000ep
Hardware:  many devices; not run here. The authors train 100 epochs in 6 hours on 32 TPU v3.
           `:smoke` is a small network on noise, on two CPU cores.
Expected:  probe/accuracy 0.693 (:1000ep), 0.645 (:100ep), for a linear classifier on the features
Source:    Chen et al. 2020, "A Simple Framework for Contrastive Learning of Visual
           Representations", arXiv 2002.05709: table 6 (69.3; the published checkpoint has 69.1),
           sections 2 and 3, and appendix A: crops of 8 to 100 % of the area, flips, colour
           distortion of strength 1, grey, blur with probability 0.5; a projection of two layers,
           128 wide; batches of 4096, LARS, rate 0.3 for 256 images scaled linearly, 10 epochs of
           warmup, cosine, weight decay 1e-6, temperature 0.1.
           google-research/simclr, README, for 64.5 after 100 epochs, and for images that are not
           normalized.

Negatives and batch statistics come from all devices and need the whole batch, so `accumulate` would
change the task.

What differs: views are crops of the central square of an image, whose short side is resized to 320
pixels, as the device makes the views. The linear classifier is fitted by L-BFGS to standardized
features of centre crops; the authors train it with Nesterov momentum on augmented crops.
"""

from ml_collections import ConfigDict

from library import presets

# Epochs, reported accuracy, source.
VARIANTS = {
    "1000ep": (1000, 0.693, "Chen et al. 2020, table 6"),
    "100ep": (100, 0.645, "google-research/simclr, README"),
    "smoke": (100, None, None),
}


def get_config(variant: str = "1000ep") -> ConfigDict:
    epochs, reported, source = VARIANTS[variant]
    config = presets.imagenet(batch_size=4096, eval_batch_size=1024)
    config.preprocess = _preprocess(square=320, short=256, crop=224)
    config.views = 2
    config.augment = _augment(size=224)
    config.model = dict(name="simclr", encoder=dict(name="resnet.resnet50"))
    config.task = dict(name="contrastive", temperature=0.1)
    config.optimizer = dict(
        name="lars",
        learning_rate=0.3,
        base_batch=256,
        momentum=0.9,
        weight_decay=1e-6,
        schedule=dict(name="cosine", warmup="10 epochs"),
    )
    config.total = f"{epochs} epochs"
    config.evaluate = dict(
        test=dict(kind="metrics", every="5%"),
        probe=dict(kind="linear_probe", every="100%"),
    )
    config.checkpoint = dict(every="1%")
    config.log_every = "50 steps"
    if reported is None:
        _shrink(config)
    else:
        config.reported = dict(metric="probe/accuracy", value=reported, source=source)
    return config


def _preprocess(square: int, short: int, crop: int) -> dict:
    def central(short, side):
        return [
            dict(name="decode"),
            dict(name="resize_short", size=short, method="bicubic"),
            dict(name="center_crop", size=side),
        ]

    return dict(train=central(square, square), test=central(short, crop))


def _augment(size: int) -> list[dict]:
    return [
        dict(name="random_resized_crop", size=size, area=[0.08, 1.0], method="bicubic"),
        dict(name="flip_lr"),
        dict(
            name="color_jitter",
            brightness=0.8,
            contrast=0.8,
            saturation=0.8,
            hue=0.2,
            probability=0.8,
        ),
        dict(name="grayscale", probability=0.2),
        # The kernel is a tenth as wide as the image.
        dict(name="gaussian_blur", probability=0.5, sigma=[0.1, 2.0]),
    ]


def _shrink(config: ConfigDict) -> None:
    presets.shrink(config)
    config.preprocess = _preprocess(square=72, short=36, crop=32)
    config.augment = _augment(size=32)
    config.model = dict(
        name="simclr", encoder=dict(name="resnet.resnet18", width=8), hidden=16, width=8
    )
