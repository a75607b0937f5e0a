"""ShuffleNet on ImageNet-1k, by its authors' recipe.

System:    ShuffleNet v1 (Zhang et al. 2017, arXiv 1707.01083): classify images
Command:   python -m experiments.prepare --dataset=imagenet2012 --manual_dir=DIR
           python -m experiments.train --config=configs/shufflenet_v1/imagenet.py:g3
Hardware:  four devices or more; not run here. `:smoke` is a narrow network on noise, on two CPU
           cores.
Expected:  test/accuracy 0.678 (:g3) and 0.680 (:g8)
Source:    Zhang et al. 2018, "ShuffleNet: an extremely efficient convolutional neural network for
           mobile devices", arXiv 1707.01083, section 4; megvii-model/ShuffleNet-Series, README
           (errors of 32.2 and 32.0 at 1x) and ShuffleNetV1/train.py: 300,000 steps of 1024 images,
           SGD with momentum 0.9, rate 0.5 falling linearly to 0, decay 4e-5 of kernels, smoothing
           0.1, crops of 8 to 100 % of the area, colour jitter of 0.4; centre crop 224 of 256.

What differs: inputs of the authors' code are 0 to 255, in the order blue, green, red. It resizes
with OpenCV for evaluation, and its last step computes the batch statistics again over the training
set.
"""

from ml_collections import ConfigDict

from library import presets

# Groups, reported accuracy.
VARIANTS = {"g3": (3, 0.678), "g8": (8, 0.680), "smoke": (3, None)}


def get_config(variant: str = "g3") -> ConfigDict:
    groups, reported = VARIANTS[variant]
    config = presets.imagenet(batch_size=1024)
    config.preprocess = presets.crops()
    config.augment = [
        dict(name="color_jitter", brightness=0.4, contrast=0.4, saturation=0.4),
        dict(name="flip_lr"),
    ]
    config.normalize = presets.IMAGENET_COLOURS
    config.model = dict(name="shufflenet_v1", num_classes=1000, groups=groups, scale=1.0)
    config.task = dict(name="classification", label_smoothing=0.1)
    config.optimizer = dict(
        name="sgd",
        learning_rate=0.5,
        momentum=0.9,
        weight_decay=4e-5,
        schedule=dict(name="linear"),
    )
    config.total = "300_000 steps"
    config.parallel = dict(strategy="pmap")
    config.evaluate = dict(test=dict(kind="metrics", every="10_000 steps"))
    config.checkpoint = dict(every="10_000 steps", best="test/accuracy")
    if variant == "smoke":
        presets.shrink(config, size=64, num_classes=10, scale=0.25)
    else:
        config.reported = dict(
            metric="test/accuracy", value=reported, source="megvii-model/ShuffleNet-Series, README"
        )
    return config
