"""Five landmarks of image classification, small enough for minutes on two CPU cores, side by side.

Command:   python -m experiments.prepare --dataset=cifar10_jpeg
           python -m experiments.train --config=configs/landmarks/cifar10.py:alexnet \\
               --workdir=runs/landmarks/alexnet
           python -m experiments.report --root=runs/landmarks
Hardware:  one CPU core, 6 to 13 minutes each; `:smoke` is four steps on noise
Expected:  test/accuracy 0.746 (:alexnet), 0.780 (:vgg), 0.752 (:inception), 0.573 (:mobilenet) and
           0.717 (:densenet), which were reached; none is published for these networks and images
Source:    Krizhevsky 2014, arXiv 1404.5997 (:alexnet); Simonyan and Zisserman 2014, arXiv 1409.1556
           (:vgg); Szegedy et al. 2014, arXiv 1409.4842 (:inception); Sandler et al. 2018, arXiv
           1801.04381 (:mobilenet); Huang et al. 2017, arXiv 1608.06993 (:densenet).

The five see the same images in the same order, with the same crops and flips, and are trained by
the same optimizer at the same rates. A network that takes less time sees them more often, so that
all have minutes. Each halves the image early, since most of its work lies in its first layers.
"""

from ml_collections import ConfigDict

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
    config = ConfigDict()
    config.dataset = dict(
        name="cifar10_jpeg",
        train="train",
        test="test",
        batch_size=128,
        eval_batch_size=500,
        cache="device",
    )
    config.augment = [dict(name="random_crop", padding=4), dict(name="flip_lr")]
    config.normalize = dict(mean=[0.4914, 0.4822, 0.4465], std=[0.2470, 0.2435, 0.2616])
    config.model = dict(num_classes=10, **model)
    config.task = dict(name="classification")
    config.optimizer = dict(
        name="adamw",
        learning_rate=2e-3,
        weight_decay=0.05,
        schedule=dict(name="one_cycle", peak="20%", start=0.1, final=0.0),
    )
    config.total = f"{epochs} epochs"
    config.evaluate = dict(test=dict(kind="metrics", every="1 epoch"))
    config.checkpoint = dict(every="50%")
    config.log_every = "50 steps"
    config.seed = 0
    if variant == "smoke":
        config.dataset.update(
            name="synthetic/32x10", train="train[:256]", test="test[:64]", batch_size=16
        )
        config.dataset.eval_batch_size = 32
        config.optimizer.schedule.peak = "2 steps"
        config.total = "4 steps"
        config.evaluate = dict(test=dict(kind="metrics", every="100%"))
    return config
