"""The encoder of an autoencoder becomes a classifier that needs few labels; and one from scratch.

System:    Pretraining by a denoising autoencoder (Vincent et al. 2010, "Stacked denoising
           autoencoders"): learn features without labels
Command:   python -m experiments.prepare --dataset=mnist_npz
           python -m experiments.train --config=configs/few_labels/mnist.py:pretrain
           python -m experiments.train --config=configs/few_labels/mnist.py:labels100
           python -m experiments.train --config=configs/few_labels/mnist.py:scratch100
Hardware:  one CPU core: three minutes for :pretrain, one for each other
Expected:  no result is claimed; the aim of this project is that test/accuracy of :labels100 and
           :labels1000 is above that of :scratch100 and :scratch1000
Source:    Vincent et al. 2010 (with all labels)

`:pretrain` sees 50,000 digits without their labels. `:labels100` starts from its encoder in its
default workdir (another: --config.init_from.workdir=DIR) and sees 100 digits with labels;
`:scratch100` sees the same 100 and starts from random weights. val/accuracy, on 5,000 other digits,
chooses the best checkpoint.
"""

from ml_collections import ConfigDict

from library import presets

# Labels, steps.
VARIANTS = {
    "pretrain": (0, "20 epochs"),
    "labels100": (100, "1000 steps"),
    "scratch100": (100, "1000 steps"),
    "labels1000": (1000, "2000 steps"),
    "scratch1000": (1000, "2000 steps"),
}
LAYERS = [256, 128]


def get_config(variant: str = "pretrain") -> ConfigDict:
    labels, total = VARIANTS[variant]
    config = presets.in_memory("mnist_npz", batch_size=100)
    config.preprocess = [dict(name="decode", channels=1)]
    config.total = total
    config.checkpoint = dict(every="20%")
    config.optimizer = dict(name="adam", learning_rate=1e-3, schedule=dict(name="cosine"))
    if variant == "pretrain":
        config.dataset.train = "train[:50000]"
        config.model = dict(
            name="autoencoder.dense", hidden=LAYERS, latent_dim=32, code_activation="linear"
        )
        config.task = dict(name="autoencoding", corruption="masking", corruption_level=0.5)
        config.evaluate = dict(
            test=dict(kind="metrics", every="10%"),
            rebuilt=dict(kind="samples", output="denoise", split="test", num=8, every="50%"),
        )
        return config
    config.dataset.train = f"train[:{labels}]"
    config.model = dict(name="mlp", hidden=LAYERS)
    config.task = dict(name="classification")
    if variant.startswith("labels"):
        config.init_from = dict(workdir="runs/few_labels-mnist-pretrain", prefix="encoder")
    config.evaluate = dict(
        val=dict(kind="metrics", split="train[55000:]", every="10%"),
        test=dict(kind="metrics", every="100%"),
    )
    config.checkpoint.best = "val/accuracy"
    return config
