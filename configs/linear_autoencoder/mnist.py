"""Principal components of MNIST's digits: in closed form, and as a linear autoencoder finds them.

System:    Principal components (Pearson 1901, "On lines and planes of closest fit to systems of
           points in space"): compress images
Command:   python -m experiments.prepare --dataset=mnist_npz
           python -m experiments.train --config=configs/linear_autoencoder/mnist.py:exact
           python -m experiments.train --config=configs/linear_autoencoder/mnist.py:descent
Hardware:  one CPU core: seconds for :exact, three minutes for :descent
Expected:  test/squared_error 13.87 with 30 components (:exact); no result is claimed for :descent,
           whose aim is the same error, as Baldi & Hornik 1989, "Neural networks and principal
           component analysis", prove of its minimum
Source:    Hinton & Salakhutdinov 2006, "Reducing the Dimensionality of Data with Neural Networks",
           figure 2B: an average squared error per image of 13.87 for PCA with 30 components
"""

from ml_collections import ConfigDict

from library import presets

VARIANTS = ("exact", "descent")


def get_config(variant: str = "exact") -> ConfigDict:
    exact = variant == "exact"
    config = presets.in_memory("mnist_npz", batch_size=1000 if exact else 100)
    config.preprocess = [dict(name="decode", channels=1)]
    config.model = dict(name="autoencoder.dense", latent_dim=30, code_activation="linear")
    if exact:
        config.task = dict(name="principal_components")
        config.reported = dict(
            metric="test/squared_error",
            value=13.87,
            source="Hinton & Salakhutdinov 2006, figure 2B",
        )
    else:
        config.task = dict(name="autoencoding", loss="squared_error", pixels="linear")
        config.optimizer = dict(name="adam", learning_rate=2e-3, schedule=dict(name="cosine"))
    config.total = "1 epoch" if exact else "10 epochs"
    config.evaluate = dict(
        test=dict(kind="metrics", every="100%" if exact else "1 epoch"),
        rebuilt=dict(kind="samples", output="comparison", split="test", num=16, every="100%"),
    )
    config.checkpoint = dict(every="20%")
    config.log_every = "10 steps" if exact else "200 steps"
    return config
