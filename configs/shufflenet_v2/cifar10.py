"""ShuffleNetV2 on CIFAR-10, with a stem that neither strides nor pools.

System:    ShuffleNet v2 (Ma et al. 2018, arXiv 1807.11164): classify images
Command:   python -m experiments.prepare --dataset=cifar10
           python -m experiments.train --config=configs/shufflenet_v2/cifar10.py:x1_0
Hardware:  one GPU; not run here. `:smoke` is four steps on noise, on two CPU cores.
Expected:  test/accuracy 0.9298 (:x1_0), 0.9013 (:x0_5), 0.9381 (:x2_0)
Source:    Ma, Zhang, Zheng and Sun 2018, arXiv 1807.11164; chenyaofo/pytorch-cifar-models, README
           and logs, with exactly these networks: 200 epochs in batches of 256, Nesterov
           momentum 0.9, rate 0.1 on a cosine, weight decay 5e-4 on all params, crops from 4 pixels
           of padding, flips. Its figures are from the epoch with the best test accuracy.
"""

from ml_collections import ConfigDict

from library import presets

# Model, reported accuracy.
VARIANTS = {
    "x1_0": ("shufflenet_v2_x1_0", 0.9298),
    "x0_5": ("shufflenet_v2_x0_5", 0.9013),
    "x2_0": ("shufflenet_v2_x2_0", 0.9381),
    "smoke": ("shufflenet_v2_x0_5", None),
}


def get_config(variant: str = "x1_0") -> ConfigDict:
    model, reported = VARIANTS[variant]
    config = presets.in_memory("cifar10", batch_size=256)
    config.augment = [dict(name="random_crop", padding=4), dict(name="flip_lr")]
    config.normalize = presets.CIFAR10_COLOURS
    config.model = dict(name=f"shufflenet_v2.{model}", num_classes=10, stem="cifar")
    config.task = dict(name="classification")
    config.optimizer = dict(
        name="sgd",
        learning_rate=0.1,
        momentum=0.9,
        nesterov=True,
        weight_decay=5e-4,
        decayed="all",
        schedule=dict(name="cosine"),
    )
    config.total = "200 epochs"
    if reported is not None:
        config.reported = dict(
            metric="test/accuracy", value=reported, source="chenyaofo/pytorch-cifar-models"
        )
    if variant == "smoke":
        presets.shrink(config, "synthetic/32x10")
    return config
