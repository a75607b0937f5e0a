"""A Kolmogorov-Arnold network that learns exp(sin(pi x) + y^2), and a perceptron beside it.

System:    KAN (Liu et al. 2024, "KAN: Kolmogorov-Arnold networks"): fit functions
Command:   python -m experiments.train --config=configs/kan/product.py:kan
           python -m experiments.train --config=configs/kan/product.py:mlp
Hardware:  any; a minute
Expected:  no result is claimed; the aim of this project is test/rmse 0.01 or less (:kan). The
           perceptron (:mlp) has as many params
Source:    Liu et al. 2024, arXiv 2404.19756, has this function as an example; no result there is
           of these data

The report draws the functions that the edges have learned.
"""

from ml_collections import ConfigDict

VARIANTS = {
    "kan": dict(name="kan", hidden=[5]),
    "mlp": dict(name="mlp", hidden=[33], activation="tanh"),
}


def get_config(variant: str = "kan") -> ConfigDict:
    config = ConfigDict()
    config.dataset = dict(
        name="points/product",
        train="train",
        test="test",
        batch_size=1000,
        eval_batch_size=1000,
        cache="device",
    )
    config.preprocess = []
    config.model = dict(VARIANTS[variant])
    config.task = dict(name="regression", inputs=["features"])
    config.optimizer = dict(name="adam", learning_rate=0.02, schedule=dict(name="cosine"))
    config.total = "3000 steps"
    config.steps_per_call = 100
    config.evaluate = dict(test=dict(kind="metrics", every="5%"))
    if variant == "kan":
        config.evaluate.shown = dict(kind="edge_functions", every="25%")
    config.checkpoint = dict(every="50%")
    config.log_every = "100 steps"
    config.seed = 0
    return config
