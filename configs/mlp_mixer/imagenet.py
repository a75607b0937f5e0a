"""MLP-Mixer-B/16 on ImageNet-1k, by big_vision's recipe.

System:    MLP-Mixer (Tolstikhin et al. 2021, arXiv 2105.01601): classify images
Command:   python -m experiments.prepare --dataset=imagenet2012 --manual_dir=DIR
           python -m experiments.train --config=configs/mlp_mixer/imagenet.py:b16
Hardware:  many devices; not run here. The original takes 2 h 11 min on TPU v3-128 (:b16), 27 min
           (:b16_60ep). `:smoke` is a small network on noise, on two CPU cores.
Expected:  test/accuracy 0.763 (:b16), about 0.705 (:b16_60ep)
Source:    Tolstikhin et al. 2021, "MLP-Mixer: An all-MLP architecture for vision", arXiv
           2105.01601; recipe and figures from google-research/big_vision,
           big_vision/configs/mlp_mixer_i1k.py: batches of 4096, Adam, rate 1e-3, 10,000 steps of
           warmup, linear to 1e-5 of that rate (the schedule's `linear_end` is multiplied by it),
           decay 1e-4 of kernels, sigmoid loss, RandAugment, mixup, drop path 0.1, gradients clipped
           to a norm of 1.

The network trains on the first 99 % of the training set. The rest is `minival`, which selects the
best checkpoint. big_vision does not multiply its weight decay of 1e-4 by the learning rate: this is
a weight decay of 0.1 in adamw, at a peak rate of 1e-3.

What differs: RandAugment of big_vision has a magnitude of 15, beyond the maximum of 10 here, and 16
operations instead of 14. Mixup draws a weight for each example, not for each batch. The biases of
the head start at 0, not at -6.9. GELU is exact, not its tanh approximation. Resizing is
antialiased.
"""

from ml_collections import ConfigDict

from library import presets

# Model, epochs, reported accuracy.
VARIANTS = {
    "b16": ("mixer_b16", 300, 0.763),
    "b16_60ep": ("mixer_b16", 60, 0.705),
    "smoke": ("mixer_b16", 300, None),
}


def get_config(variant: str = "b16") -> ConfigDict:
    model, epochs, reported = VARIANTS[variant]
    config = presets.imagenet(train="train[:99%]", batch_size=4096, eval_batch_size=1024)
    config.preprocess = presets.crops(**presets.TENSORFLOW_BOX)
    config.augment = [
        dict(name="flip_lr"),
        dict(name="rand_augment", num_layers=2, magnitude=10.0),
        dict(name="mixup", alpha=0.5),
    ]
    config.normalize = presets.SIGNED
    config.model = dict(name=f"mlp_mixer.{model}", num_classes=1000, drop_path=0.1)
    config.task = dict(name="classification", loss="sigmoid")
    config.optimizer = dict(
        name="adamw",
        learning_rate=1e-3,
        b1=0.9,
        b2=0.999,
        weight_decay=0.1,
        clip=dict(global_norm=1.0),
        schedule=dict(name="linear", warmup="10_000 steps", final=1e-5),
    )
    config.total = f"{epochs} epochs"
    config.evaluate = dict(
        minival=dict(kind="metrics", split="train[99%:]", every="2 epochs"),
        test=dict(kind="metrics", every="2 epochs"),
    )
    config.checkpoint = dict(every="2 epochs", best="minival/accuracy")
    config.log_every = "50 steps"
    if variant == "smoke":
        _shrink(config)
    else:
        config.reported = dict(
            metric="test/accuracy",
            value=reported,
            source="google-research/big_vision, mlp_mixer_i1k.py",
        )
    return config


def _shrink(config: ConfigDict) -> None:
    presets.shrink(
        config,
        size=64,
        name="mlp_mixer",
        num_classes=10,
        width=32,
        depth=2,
        tokens_hidden=16,
        channels_hidden=64,
    )
    config.dataset.train = "train[:48]"
    config.evaluate.minival.split = "train[48:64]"
