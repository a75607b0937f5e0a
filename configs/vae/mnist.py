"""Variational autoencoders on MNIST, and estimates of their likelihood.

System:    VAE (Kingma & Welling 2013, arXiv 1312.6114): make images
Command:   python -m experiments.prepare --dataset=mnist_npz
           python -m experiments.train --config=configs/vae/mnist.py:cpu
Hardware:  one CPU core: 15 minutes for :cpu, 80 for :hour; two cores: 4 to 8 minutes for :manifold,
           :conditional, :convolutional; an accelerator for :burda, which takes ten million small
           steps
Expected:  likelihood/nll 86.76 (:burda); at most 91 (:cpu, 88.6 reached) and 88 (:hour, 87.1
           reached); test/loss 90.1 nats (:conditional), 137.7 (:manifold); 1.56 bits per pixel
           (:convolutional)
Source:    Burda et al. 2016, "Importance Weighted Autoencoders", table 1: a VAE with one stochastic
           layer of 50 units has a test NLL of 86.76 nats on binarized MNIST, estimated with k=5000.

The network, the dynamic binarization, Adam with epsilon 1e-4, the batches of 20 and the schedule of
`:burda` are those of the paper's section 5. The schedule is 0.001 * 10^(-i/7) for 3^i epochs, i = 0
.. 7, 3280 epochs in all. `:cpu` and `:hour` have larger batches, a higher rate, and an eleventh or
half of the epochs. `:cpu` estimates with k=1000, which is too high by about a tenth of a nat.

`:manifold` has two latent variables and draws images over their plane (Kingma & Welling 2014,
figure 4). `:conditional` gets the digit as an input. `:convolutional` models the 256 values of a
pixel.

Options: a Gaussian likelihood with a learned deviation is `:convolutional`,
--config.task.likelihood=gaussian. Another factor of the KL, as in a beta-VAE:
--config.task.beta=4.0. Nats of each latent variable without cost: --config.task.free_bits=0.1.
"""

from ml_collections import ConfigDict

from library import presets

BURDA_EPOCHS = [3**i for i in range(8)]
BURDA_SCHEDULE = dict(
    name="piecewise",
    boundaries=[f"{sum(BURDA_EPOCHS[:i])} epochs" for i in range(1, 8)],
    fractions=[10 ** (-i / 7) for i in range(8)],
)
COSINE = dict(name="cosine")
BINARY = dict(binarize=True)
GREY = dict(likelihood="discretized_logistic")
BAR = "the bar this recipe is held to"
# Reported nats, source.
REPORTED = {
    "cpu": (91.0, BAR),
    "hour": (88.0, BAR),
    "burda": (86.76, "Burda et al. 2016, table 1"),
}

# Model, task, (batch, rate, schedule, epochs), draws of the likelihood (0: not estimated).
VARIANTS = {
    "cpu": (dict(name="vae.dense"), BINARY, (100, 2e-3, COSINE, 300), 1000),
    "hour": (dict(name="vae.dense"), BINARY, (100, 2e-3, COSINE, 1600), 5000),
    "burda": (
        dict(name="vae.dense"),
        BINARY,
        (20, 1e-3, BURDA_SCHEDULE, sum(BURDA_EPOCHS)),
        5000,
    ),
    "manifold": (dict(name="vae.dense", latent_dim=2), BINARY, (100, 2e-3, COSINE, 80), 0),
    "conditional": (dict(name="vae.dense", conditional=True), BINARY, (100, 2e-3, COSINE, 80), 0),
    "convolutional": (
        dict(name="vae.convolutional", learned_scale=True),
        GREY,
        (100, 2e-3, COSINE, 10),
        0,
    ),
}


def get_config(variant: str = "cpu") -> ConfigDict:
    model, task, (batch_size, rate, schedule, epochs), draws = VARIANTS[variant]
    config = presets.in_memory("mnist_npz", batch_size=batch_size)
    config.preprocess = [dict(name="decode", channels=1)]
    config.model = dict(model)
    config.task = dict(name="variational", **task)
    config.optimizer = dict(name="adam", learning_rate=rate, eps=1e-4, schedule=dict(schedule))
    config.total = f"{epochs} epochs"
    config.evaluate = dict(
        test=dict(kind="metrics", every="2.5%"),
        drawn=dict(kind="samples", output="sample", num=64, every="10%"),
        rebuilt=dict(kind="samples", output="comparison", split="test", num=16, every="10%"),
        between=dict(kind="samples", output="interpolate", num=10, every="10%"),
    )
    if variant == "manifold":
        config.evaluate.manifold = dict(kind="samples", output="manifold", num=20, every="10%")
    if draws:
        config.evaluate.likelihood = dict(
            kind="importance_weighted", k=draws, chunk=20, batch_size=100, every="100%"
        )
        value, source = REPORTED[variant]
        config.reported = dict(metric="likelihood/nll", value=value, source=source)
    config.checkpoint = dict(every="10%")
    config.log_every = "500 steps" if epochs < 1000 else "5000 steps"
    return config
