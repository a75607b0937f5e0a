r"""airbench96: 96 % on CIFAR-10 in 37 epochs.

System:    airbench (Jordan 2024, arXiv 2404.00498): classify images
Command:   python -m experiments.prepare --dataset=cifar10
           python -m experiments.train --config=configs/airbench/airbench96.py:cifar10
Hardware:  one GPU; the original trains in 34.7 s (A100); not run here. `:smoke` is seven small
           steps on noise, on two CPU cores.
Expected:  test/accuracy 0.9603, the mean of 400 runs
Source:    KellerJordan/cifar10-airbench, legacy/airbench96.py, recipe and figure; see Jordan 2024,
           "94% on CIFAR-10 in 3.29 seconds on a single GPU", arXiv 2404.00498.

The original states decoupled hyperparameters, see airbench94.py. lr 9.0 and weight decay 0.012 for
the sum over 1024 examples are a rate of 9.0 / (23/3) and a coupled weight decay of 0.012 / 9.0 for
the mean loss. 37 epochs of 48 whole batches are 1776 steps. The bias of the whitening is trained
for three epochs, which are 144 steps.

What differs: the whitening uses the first batch of 1024, not the first 5000 images. The last,
smaller batch of an epoch is not dropped. Cutout fills its squares with one grey, and they may reach
over the border; in the original they are inside the image. The running averages of the
normalizations have no slow averages, unlike in the original. The params are float32, and only the
computation is in float16. Use `--config.model.dtype=bfloat16` (or float32) on devices that are slow
in float16.

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
        dict(name="random_crop", padding=4, mode="reflect"),
        dict(name="cutout", size=12, fill=0.4734),
    ]
    config.normalize = presets.CIFAR10_COLOURS
    config.model = dict(
        name="airbench.airbench96", num_classes=10, widths=[128, 384, 512], dtype="float16"
    )
    config.task = dict(
        name="classification",
        label_smoothing=0.2,
        test_time_augmentation="mirror_translate",
    )
    config.optimizer = dict(
        name="sgd",
        learning_rate=9.0 * 3 / 23,
        momentum=0.85,
        nesterov=True,
        weight_decay=0.012 / 9.0,
        decayed="all",
        rates=[[r"norm\d/bias$", 64.0]],
        decay_rates=[[r"norm\d/bias$", 1 / 64]],
        frozen=["^whitening/kernel$"],
        frozen_from=[["^whitening/bias$", "144 steps"]],
        lookahead=dict(every=5, decay=0.95**5, power=3.0),
        schedule=dict(name="one_cycle", peak="10%", start=0.2, final=0.0),
    )
    config.total = "1776 steps"
    config.evaluate = dict(test=dict(kind="metrics", every="100%"))
    config.checkpoint = dict(every="100%")
    config.seed = 0
    if variant == "cifar10":
        config.reported = dict(
            metric="test/accuracy", value=0.9603, source="KellerJordan/cifar10-airbench"
        )
    if variant == "smoke":
        config.dataset.update(train="train[:256]", test="test[:64]", batch_size=16)
        config.dataset.eval_batch_size = 32
        config.model.update(widths=[8, 16, 16], dtype="float32")
        config.optimizer.schedule.peak = "2 steps"
        config.total = "7 steps"
    return config
