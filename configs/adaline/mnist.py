"""Ten linear units that read the digits of MNIST by the squared error, step by step or at once.

System:    Adaline (Widrow & Hoff 1960, "Adaptive switching circuits"): classify images
Command:   python -m experiments.prepare --dataset=mnist_npz
           python -m experiments.train --config=configs/adaline/mnist.py:online
           python -m experiments.train --config=configs/adaline/mnist.py:exact
Hardware:  one CPU core, about a minute
Expected:  no result is claimed; the aim of this project is test/accuracy 0.859 (:online) and 0.860
           (:exact, least squares)
Source:    none on these data

`:online` follows the gradient of ten digits at a time. `:exact` sums over the digits once and
solves for the weights that `:online` approaches.
"""

from ml_collections import ConfigDict

from library import presets

VARIANTS = ("online", "exact")


def get_config(variant: str = "online") -> ConfigDict:
    online = variant == "online"
    config = presets.in_memory("mnist_npz", batch_size=10 if online else 1000)
    config.preprocess = [dict(name="decode", channels=1)]
    config.model = dict(name="mlp.perceptron")
    if online:
        config.task = dict(name="adaline")
        config.optimizer = dict(name="sgd", learning_rate=0.01, schedule=dict(name="cosine"))
        config.steps_per_call = 100
        config.log_every = "1000 steps"
    else:
        config.task = dict(name="least_squares", ridge=1e-4, solve_every=10)
        config.log_every = "10 steps"
    config.total = "5 epochs" if online else "1 epoch"
    return config
