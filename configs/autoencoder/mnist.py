"""Autoencoders on MNIST: plain, deep, layerwise, convolutional, denoising, sparse, for anomalies.

System:    Autoencoder (Hinton & Salakhutdinov 2006, "Reducing the dimensionality of data with
           neural networks"): compress images, find anomalies
Command:   python -m experiments.prepare --dataset=mnist_npz
           python -m experiments.train --config=configs/autoencoder/mnist.py:cpu
           python -m experiments.train --config=configs/autoencoder/mnist.py:pretrain
           python -m experiments.train --config=configs/autoencoder/mnist.py:finetune
Hardware:  one CPU core: 9 minutes each for :pretrain and :finetune, 2 to 3 for :cpu, :denoising and
           :sparse_l1; two cores, shared with other work: 24 for :deep, 9 for :convolutional, 2 to 3
           for :sparse and :anomaly
Expected:  test/squared_error 3.00 (:finetune, after :pretrain; 3.50 reached); anomaly/auroc 0.83
           (:anomaly). Reached here: 2.63 (:cpu), 4.11 (:convolutional), 5.89 (:denoising), 7.75
           (:sparse), 2.29 (:sparse_l1), 14.66 (:deep, from random weights); test/denoised_error
           6.55 and probe/accuracy 0.954 (:denoising), 0.915 (:cpu)
Source:    Hinton & Salakhutdinov 2006, "Reducing the Dimensionality of Data with Neural Networks",
           figure 2B: an average squared error per image of 3.00 for the 784-1000-500-250-30
           network, of 8.01 for logistic PCA and of 13.87 for PCA with 30 components.

The two stages of 2006 are `:pretrain` and `:finetune`. `:pretrain` trains one layer after the
other, ten epochs each. `:finetune` starts from the run of `:pretrain` in its default workdir
(another workdir: --config.init_from.workdir=DIR). `:deep` trains the same network from random
weights. Two things differ from 2006: the optimizer is Adam instead of conjugate gradients, and
pretraining uses autoencoders instead of restricted Boltzmann machines
(library/tasks/autoencoding.py).

`:denoising` masks a quarter of the pixels, as in Vincent et al. 2008; test/denoised_error measures
how well it denoises. `:sparse` bounds the mean activation of each unit. `:sparse_l1` penalizes the
sum of activations, which rectified units can set to 0; weight decay prevents the decoder from
amplifying small codes. `:anomaly` trains without the digit 8 and detects the eights of the test set
by their error. `:anomaly_maps` denoises with a code of 16, and draws where planted squares are, see
`anomaly_maps` of library/evaluation. probe/accuracy is that of a linear classifier on the codes
(:cpu, :denoising).

Other corruptions (:denoising): --config.task.corruption=gaussian or salt_and_pepper. Squared errors
instead of cross-entropies: --config.task.loss=squared_error.
"""

from ml_collections import ConfigDict

from library import presets

DEEP = dict(name="autoencoder.deep")
PLAIN = dict(name="autoencoder.dense", hidden=[256], latent_dim=64, code_activation="linear")
NARROW = dict(name="autoencoder.dense", hidden=[256], latent_dim=16, code_activation="linear")
UNITS_500 = dict(name="autoencoder.dense", latent_dim=500, code_activation="sigmoid")
UNITS_196 = dict(name="autoencoder.dense", latent_dim=196, code_activation="sigmoid")
RECTIFIED_196 = dict(name="autoencoder.dense", latent_dim=196, code_activation="relu")
ADAM = dict(name="adam", learning_rate=1e-3, schedule=dict(name="cosine"))

# Model, task, epochs.
VARIANTS = {
    "cpu": (PLAIN, dict(), 15),
    "deep": (DEEP, dict(), 40),
    "pretrain": (DEEP, dict(objective="layerwise"), 40),
    "finetune": (DEEP, dict(), 40),
    "convolutional": (dict(name="autoencoder.convolutional"), dict(), 10),
    "denoising": (UNITS_500, dict(corruption="masking", corruption_level=0.25), 15),
    "sparse": (
        UNITS_196,
        dict(sparsity="kl", sparsity_weight=3.0, sparsity_target=0.05),
        15,
    ),
    "sparse_l1": (RECTIFIED_196, dict(sparsity="l1", sparsity_weight=0.1), 15),
    "anomaly": (PLAIN, dict(held_out=8), 15),
    "anomaly_maps": (NARROW, dict(corruption="salt_and_pepper", corruption_level=0.25), 15),
}
# Additional settings of Adam. Each of the four layers of the deep encoder has its own phase.
OPTIMIZER = {"pretrain": dict(phases=4), "sparse_l1": dict(l2=1e-3)}
PROBED = ("cpu", "denoising")


def get_config(variant: str = "cpu") -> ConfigDict:
    model, task, epochs = VARIANTS[variant]
    config = presets.in_memory("mnist_npz", batch_size=128)
    config.preprocess = [dict(name="decode", channels=1)]
    config.model = dict(model)
    config.task = dict(name="autoencoding", **task)
    config.optimizer = dict(**ADAM, **OPTIMIZER.get(variant, {}))
    config.total = f"{epochs} epochs"
    drawn = "denoise" if "corruption" in task else "comparison"
    config.evaluate = dict(
        test=dict(kind="metrics", every="1 epoch"),
        rebuilt=dict(kind="samples", output=drawn, split="test", num=16, every="10%"),
        noise=dict(kind="samples", output="sample", num=32, every="10%"),
    )
    if variant in PROBED:
        config.evaluate.probe = dict(kind="linear_probe", every="100%")
    if variant == "anomaly":
        config.evaluate.anomaly = dict(kind="anomaly", held_out=task["held_out"], every="10%")
    if variant == "anomaly_maps":
        config.evaluate.maps = dict(kind="anomaly_maps", num=1000, every="20%")
    if variant == "finetune":
        config.init_from = dict(workdir="runs/autoencoder-mnist-pretrain")
        config.reported = dict(
            metric="test/squared_error",
            value=3.00,
            source="Hinton & Salakhutdinov 2006, figure 2B",
        )
    config.checkpoint = dict(every="20%")
    config.log_every = "200 steps"
    return config
