"""ShuffleNetV2 on ImageNet-1k, by the authors' recipe (x0.5, x1.0) and torchvision's (x1.5, x2.0).

System:    ShuffleNet v2 (Ma et al. 2018, arXiv 1807.11164): classify images
Command:   python -m experiments.prepare --dataset=imagenet2012 --manual_dir=DIR
           python -m experiments.train --config=configs/shufflenet_v2/imagenet.py:x1_0
Hardware:  eight devices; not run here. `:smoke` is the smallest network on noise, on two CPU cores.
Expected:  test/accuracy 0.694 (:x1_0) and 0.611 (:x0_5); test_ema/accuracy 0.7300 (:x1_5) and
           0.7623 (:x2_0)
Source:    Ma et al. 2018, "ShuffleNet V2: practical guidelines for efficient CNN architecture
           design", arXiv 1807.11164, with the training of ShuffleNet;
           megvii-model/ShuffleNet-Series, README (errors of 30.6 and 38.9 at x1.0 and x0.5) and
           ShuffleNetV1/train.py: 300,000 steps of 1024 images, SGD, rate 0.5 falling linearly to 0,
           decay 4e-5 of kernels, smoothing 0.1, colour jitter of 0.4; centre crop 224 of 256.
           torchvision, weights ShuffleNet_V2_X1_5_Weights.IMAGENET1K_V1 (72.996) and X2_0 (76.230);
           pytorch/vision, references/classification/README.md: 600 epochs, 128 images on each of
           eight devices, SGD, rate 0.5, cosine after 5 epochs of warmup, decay 2e-5 except for
           normalization, TrivialAugment, erasing, mixup or cutmix, averages, each image four times
           in its batch, trained at 176 pixels.

Under `pmap` each device has its own batch statistics: keep 128 images per device in the recipe of
torchvision.

What differs: inputs of the authors' code are 0 to 255, in the order blue, green, red, and its last
step computes the batch statistics again over the training set. torchvision changes its learning
rate once per epoch, here it changes at every step. torchvision mixes a whole batch in the same way,
and erases to the mean of each channel, not to grey. It does not say whether its weights are running
averages; the claim assumes it.
"""

from ml_collections import ConfigDict

from library import presets

# Metric, reported accuracy, source.
_AUTHORS = "megvii-model/ShuffleNet-Series, README"
_TORCHVISION = "torchvision, ShuffleNet_V2_{}_Weights.IMAGENET1K_V1"
VARIANTS = {
    "x1_0": ("test/accuracy", 0.694, _AUTHORS),
    "x0_5": ("test/accuracy", 0.611, _AUTHORS),
    "x1_5": ("test_ema/accuracy", 0.72996, _TORCHVISION.format("X1_5")),
    "x2_0": ("test_ema/accuracy", 0.76230, _TORCHVISION.format("X2_0")),
    "smoke": None,
}


def get_config(variant: str = "x1_0") -> ConfigDict:
    config = presets.imagenet(batch_size=1024)
    config.normalize = presets.IMAGENET_COLOURS
    size = "x0_5" if variant == "smoke" else variant
    config.model = dict(name=f"shufflenet_v2.shufflenet_v2_{size}", num_classes=1000)
    config.task = dict(name="classification", label_smoothing=0.1)
    config.optimizer = dict(name="sgd", learning_rate=0.5, momentum=0.9)
    config.parallel = dict(strategy="pmap")
    if variant in ("x1_5", "x2_0"):
        _as_in_torchvision(config)
    else:
        _as_by_the_authors(config)
    if variant == "smoke":
        presets.shrink(config, size=64, num_classes=10)
    else:
        metric, value, source = VARIANTS[variant]
        config.checkpoint.best = metric
        config.reported = dict(metric=metric, value=value, source=source)
    return config


def _as_by_the_authors(config: ConfigDict) -> None:
    config.preprocess = presets.crops()
    config.augment = [
        dict(name="color_jitter", brightness=0.4, contrast=0.4, saturation=0.4),
        dict(name="flip_lr"),
    ]
    config.optimizer.update(weight_decay=4e-5, schedule=dict(name="linear"))
    config.total = "300_000 steps"
    config.evaluate = dict(test=dict(kind="metrics", every="10_000 steps"))
    config.checkpoint = dict(every="10_000 steps", best="test/accuracy")


def _as_in_torchvision(config: ConfigDict) -> None:
    epochs = 600
    config.dataset.repeats = 4
    config.preprocess = presets.crops(short=232, train=176)
    config.augment = presets.trivial_mixed()
    config.optimizer.update(
        weight_decay=2e-5,
        decayed=["^(?!.*norm)"],
        schedule=dict(name="cosine", warmup="5 epochs", warmup_from=0.01),
    )
    config.total = f"{epochs} epochs"
    config.ema = presets.torchvision_average(config.dataset.batch_size, epochs)
    config.evaluate = dict(test=dict(kind="metrics", every="1 epoch"))
    config.checkpoint = dict(every="1 epoch")
