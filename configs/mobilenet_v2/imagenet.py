"""MobileNetV2 on ImageNet-1k, by two recipes of torchvision and by its authors' recipe.

System:    MobileNet v2 (Sandler et al. 2018, arXiv 1801.04381): classify images
Command:   python -m experiments.prepare --dataset=imagenet2012 --manual_dir=DIR
           python -m experiments.train --config=configs/mobilenet_v2/imagenet.py:torchvision
Hardware:  eight devices; not run here. `:smoke` is a narrow network on noise, on two CPU cores.
Expected:  test/accuracy 0.7188 (:torchvision); test_ema/accuracy 0.7215 (:torchvision_v2), 0.720
           (:paper)
Source:    torchvision, weights MobileNet_V2_Weights.IMAGENET1K_V1 (71.878) and V2 (72.154);
           pytorch/vision, references/classification/README.md: 300 epochs, 32 images on each of
           eight devices, SGD, rate 0.045 times 0.98 every epoch, decay 4e-5 of all params; pull
           request 5560: 600 epochs, 128 images per device, rate 0.5, cosine, decay 2e-5 except for
           normalization, TrivialAugment, erasing, mixup or cutmix, averages, each image four times
           in its batch, trained at 176 pixels.
           Sandler et al. 2018, "MobileNetV2: inverted residuals and linear bottlenecks", arXiv
           1801.04381: 72.0 in table 4; section 6.1: RMSProp, 0.9 and 0.9, rate 0.045, decay 4e-5,
           batches of 96 on each of 16 asynchronous workers; tensorflow/models,
           research/slim/nets/mobilenet/README.md, the settings that reach 72.0: eight workers whose
           rates add up, times 0.98 every 2.5 epochs, smoothing 0.1, averages of 0.9999, about
           700,000 steps.

In all originals, and here under `pmap`, each device has its own batch statistics: keep 32
(:torchvision), 128 (:torchvision_v2) and 96 (:paper) images per device.

What differs: the learning rate changes at every step; in torchvision it changes once per epoch (the
staircase does so here, too). Mixup or cutmix is drawn for each example, not for each batch.
:torchvision_v2 erases to grey, not to the mean of each channel. :paper uses torchvision's BatchNorm
(momentum 0.9, epsilon 1e-5; in slim 0.997 and 1e-3), and multiplies the brightness. torchvision
does not say whether its V2 weights are running averages; the claim assumes it.
"""

from ml_collections import ConfigDict

from library import presets

VARIANTS = {
    "torchvision": ("test/accuracy", 0.71878, "torchvision, MobileNet_V2_Weights.IMAGENET1K_V1"),
    "torchvision_v2": (
        "test_ema/accuracy",
        0.72154,
        "torchvision, MobileNet_V2_Weights.IMAGENET1K_V2",
    ),
    "paper": ("test_ema/accuracy", 0.720, "Sandler et al. 2018, table 4"),
    "smoke": None,
}


def get_config(variant: str = "torchvision") -> ConfigDict:
    config = presets.imagenet(batch_size=256)
    config.preprocess = presets.crops()
    config.augment = [dict(name="flip_lr")]
    config.normalize = presets.IMAGENET_COLOURS
    config.model = dict(name="mobilenet_v2", num_classes=1000, dropout=0.2)
    config.task = dict(name="classification")
    config.optimizer = dict(
        name="sgd",
        learning_rate=0.045,
        momentum=0.9,
        weight_decay=4e-5,
        decayed="all",
        schedule=dict(name="exponential", factor=0.98, every="1 epoch", staircase=True),
    )
    config.total = "300 epochs"
    config.parallel = dict(strategy="pmap")
    if variant == "torchvision_v2":
        _as_in_torchvision_v2(config)
    elif variant == "paper":
        _as_in_slim(config)
    if variant == "smoke":
        presets.shrink(config, size=64, num_classes=10, width_multiplier=0.25)
    else:
        metric, value, source = VARIANTS[variant]
        config.checkpoint.best = metric
        config.reported = dict(metric=metric, value=value, source=source)
    return config


def _as_in_torchvision_v2(config: ConfigDict) -> None:
    epochs, batch_size = 600, 1024
    config.dataset.update(batch_size=batch_size, repeats=4)
    config.preprocess = presets.crops(short=232, train=176)
    config.augment = presets.trivial_mixed()
    config.task.label_smoothing = 0.1
    config.optimizer = dict(
        name="sgd",
        learning_rate=0.5,
        momentum=0.9,
        weight_decay=2e-5,
        decayed=["^(?!.*norm)"],
        schedule=dict(name="cosine", warmup="5 epochs", warmup_from=0.01),
    )
    config.total = f"{epochs} epochs"
    config.ema = presets.torchvision_average(batch_size, epochs)


def _as_in_slim(config: ConfigDict) -> None:
    config.dataset.batch_size = 768
    config.preprocess = presets.inception_crops(224)
    config.augment = presets.inception_colours()
    config.normalize = presets.SIGNED
    config.task.label_smoothing = 0.1
    config.optimizer = dict(
        name="rmsprop",
        learning_rate=0.045,
        base_batch=96,
        decay=0.9,
        momentum=0.9,
        eps=1.0,
        initial_scale=1.0,
        weight_decay=4e-5,
        decayed=["^(?!.*depthwise).*kernel$"],
        schedule=dict(name="exponential", factor=0.98, every="2.5 epochs", staircase=True),
    )
    config.total = "700_000 steps"
    config.ema = dict(decay=0.9999)
