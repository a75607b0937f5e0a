"""Five landmarks of image classification, compared in small versions that train in minutes.

System:    Landmarks of ImageNet side by side (Russakovsky et al. 2014, arXiv 1409.0575): classify
           images
Command:   python -m experiments.prepare --dataset=cifar10_jpeg
           python -m experiments.train --config=configs/landmarks/cifar10.py:alexnet \\
               --workdir=runs/landmarks/alexnet
           python -m experiments.report --root=runs/landmarks
Hardware:  one CPU core, 6 to 13 minutes each; `:smoke` is four steps on noise
Expected:  test/accuracy 0.746 (:alexnet), 0.780 (:vgg), 0.752 (:inception), 0.573 (:mobilenet) and
           0.717 (:densenet), which were reached; no results are published for these networks and
           images
Source:    Krizhevsky 2014, arXiv 1404.5997 (:alexnet); Simonyan and Zisserman 2014, arXiv 1409.1556
           (:vgg); Szegedy et al. 2014, arXiv 1409.4842 (:inception); Sandler et al. 2018, arXiv
           1801.04381 (:mobilenet); Huang et al. 2017, arXiv 1608.06993 (:densenet).

The five networks see the same images in the same order, with the same crops and flips, and have the
same optimizer and the same rates. A network that needs less time trains for more epochs, so that
all take minutes. Each halves the image early, as most of the work is in the first layers.
"""

from ml_collections import ConfigDict

from library import presets

# Epochs, model.
VARIANTS = {
    "alexnet": (
        16,
        dict(name="alexnet", stem="cifar", width_multiplier=0.5, hidden_size=256, dropout=0.1),
    ),
    "vgg": (10, dict(name="vgg.vgg11_bn", width=12, pool_size=1, hidden_sizes=[])),
    "inception": (8, dict(name="googlenet", stem="strided", width_multiplier=0.1875, dropout=0.0)),
    "mobilenet": (
        8,
        dict(
            name="mobilenet_v2",
            width_multiplier=0.5,
            strides=[2, 2, 1, 2, 2, 1, 1, 1],
            dropout=0.0,
        ),
    ),
    "densenet": (8, dict(name="densenet", stem="strided", block_sizes=[3, 6, 9], growth=8)),
    "smoke": (1, dict(name="densenet", stem="strided", block_sizes=[1, 1], growth=4)),
}


def get_config(variant: str = "alexnet") -> ConfigDict:
    epochs, model = VARIANTS[variant]
    config = presets.in_memory("cifar10_jpeg", batch_size=128, eval_batch_size=500)
    config.augment = [dict(name="random_crop", padding=4), dict(name="flip_lr")]
    config.normalize = presets.CIFAR10_COLOURS
    config.model = dict(num_classes=10, **model)
    config.task = dict(name="classification")
    config.optimizer = dict(
        name="adamw",
        learning_rate=2e-3,
        weight_decay=0.05,
        schedule=dict(name="one_cycle", peak="20%", start=0.1, final=0.0),
    )
    config.total = f"{epochs} epochs"
    config.checkpoint = dict(every="50%")
    config.log_every = "50 steps"
    if variant == "smoke":
        presets.shrink(config, "synthetic/32x10")
    return config
