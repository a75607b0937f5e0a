"""The 8-3-8 encoder: eight patterns through three units, which find a code of about three bits.

System:    Back-propagation (Rumelhart, Hinton & Williams 1986, "Learning internal representations
           by error propagation"): compress patterns
Command:   python -m experiments.train --config=configs/backpropagation/encoder.py
Hardware:  any; seconds
Expected:  no result is claimed; the aim of this project is test/squared_error below 0.01: each
           pattern comes back
Source:    Ackley, Hinton & Sejnowski 1985, "A learning algorithm for Boltzmann machines" (the
           problem); Rumelhart et al. 1986, section "The encoding problem" (by back-propagation)

Units are logistic, and the loss is the squared error, as in 1986. One pattern is one white pixel
among eight. The report shows each pattern beside what comes back.
"""

from ml_collections import ConfigDict

VARIANTS = ("8_3_8",)


def get_config(variant: str = "8_3_8") -> ConfigDict:
    config = ConfigDict()
    config.dataset = dict(
        name="points/encoder", train="train", test="test", batch_size=8, eval_batch_size=8
    )
    config.preprocess = []
    config.model = dict(name="autoencoder.dense", latent_dim=3, code_activation="sigmoid")
    config.task = dict(name="autoencoding", loss="squared_error")
    config.optimizer = dict(name="sgd", learning_rate=0.5, momentum=0.9)
    config.total = "4000 steps"
    config.evaluate = dict(
        test=dict(kind="metrics", every="5%"),
        rebuilt=dict(kind="samples", output="comparison", split="test", num=8, every="25%"),
    )
    config.checkpoint = dict(every="50%")
    config.log_every = "40 steps"
    config.seed = 0
    return config
