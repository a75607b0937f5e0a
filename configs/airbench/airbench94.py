r"""airbench94: 94 % on CIFAR-10 in ten epochs.

System:    airbench (Jordan 2024, arXiv 2404.00498): classify images
Command:   python -m experiments.prepare --dataset=cifar10
           python -m experiments.train --config=configs/airbench/airbench94.py:cifar10
Hardware:  one GPU; the original trains in 3.83 s (A100); not run here. Two CPU cores process about
           130 images/s, which makes an hour. `:smoke` is seven small steps on noise.
Expected:  test/accuracy 0.9401, the mean of 1000 runs
Source:    Jordan 2024, "94% on CIFAR-10 in 3.29 seconds on a single GPU", arXiv 2404.00498;
           recipe and figure as in KellerJordan/cifar10-airbench, README and legacy/airbench94.py.

The original states decoupled hyperparameters: lr 11.5 and weight decay 0.0153 for the sum over 1024
examples, and momentum 0.85. Its steps have a length of 1 + 1 / (1 - 0.85) = 23/3 gradients. For the
mean loss of a batch of 1024, this is SGD with a rate of 11.5 / (23/3) = 1.5 and a coupled weight
decay of 0.0153 / 11.5. The biases of the normalizations have 64 times the rate, and in effect the
same decay as the other params. 9.9 epochs of 48 whole batches are 476 steps. The bias of the
whitening is trained for three epochs, which are 144 steps.

What differs: the whitening uses the first batch of 1024, not the first 5000 images. The last,
smaller batch of an epoch is not dropped. The running averages of the normalizations have no slow
averages, unlike in the original. The params are float32, and only the computation is in float16.
Use `--config.model.dtype=bfloat16` (or float32) on devices that are slow in float16.

`:cifar10_jpeg` reads the same images after JPEG compression: there are no published results for
them.
"""

from ml_collections import ConfigDict

from library import presets

VARIANTS = {"cifar10": "cifar10", "cifar10_jpeg": "cifar10_jpeg", "smoke": "synthetic/32x10"}


def get_config(variant: str = "cifar10") -> ConfigDict:
    config = ConfigDict()
    config.dataset = dict(
        name=VARIANTS[variant],
        train="train",
        test="test",
        batch_size=1024,
        eval_batch_size=2000,
        cache="device",
    )
    config.augment = [
        dict(name="alternating_flip"),
        dict(name="random_crop", padding=2, mode="reflect"),
    ]
    config.normalize = presets.CIFAR10_COLOURS
    config.model = dict(
        name="airbench.airbench94", num_classes=10, widths=[64, 256, 256], dtype="float16"
    )
    config.task = dict(
        name="classification",
        label_smoothing=0.2,
        test_time_augmentation="mirror_translate",
    )
    config.optimizer = dict(
        name="sgd",
        learning_rate=1.5,
        momentum=0.85,
        nesterov=True,
        weight_decay=0.0153 / 11.5,
        decayed="all",
        rates=[[r"norm\d/bias$", 64.0]],
        decay_rates=[[r"norm\d/bias$", 1 / 64]],
        frozen=["^whitening/kernel$"],
        frozen_from=[["^whitening/bias$", "144 steps"]],
        lookahead=dict(every=5, decay=0.95**5, power=3.0),
        schedule=dict(name="one_cycle", peak="23%", start=0.2, final=0.07),
    )
    config.total = "476 steps"
    config.evaluate = dict(test=dict(kind="metrics", every="100%"))
    config.checkpoint = dict(every="100%")
    config.seed = 0
    if variant == "cifar10":
        config.reported = dict(
            metric="test/accuracy", value=0.9401, source="KellerJordan/cifar10-airbench"
        )
    if variant == "smoke":
        config.dataset.update(
            train="train[:512]", test="test[:256]", batch_size=64, eval_batch_size=128
        )
        config.model.update(widths=[8, 16, 16], dtype="float32")
        config.total = "7 steps"
    return config
