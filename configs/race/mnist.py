"""Networks that differ in one thing learn MNIST's digits side by side: optimizer, penalty or units.

System:    Race of optimizers (Kingma & Ba 2015, "Adam: a method for stochastic optimization"):
           compare optimizers
Command:   python -m experiments.prepare --dataset=mnist_npz
           python -m experiments.train --config=configs/race/mnist.py:optimizers
           python -m experiments.train --config=configs/race/mnist.py:penalties
           python -m experiments.train --config=configs/race/mnist.py:depth
Hardware:  two CPU cores, about three minutes each
Expected:  no result is claimed; NAME_accuracy is that of each network
Source:    Kingma & Ba 2015, figure 2, compare optimizers on a network for MNIST; Srivastava et al.
           2014, "Dropout" (:penalties); Glorot & Bengio 2010 (:depth)

`:optimizers` gives five optimizers the same network, start and batches. `:penalties` trains on
1,000 digits without a penalty, with L1, with L2 and with dropout: the distance between
train/NAME_loss and test/NAME_loss is how much each overfits. `:depth` trains twelve layers of
sigmoids, of tanh and of rectified units; the evaluation "gradients" draws how the gradient vanishes
from the last layer to the first.
"""

from typing import Any

from ml_collections import ConfigDict

from library import presets

ADAM = dict(name="adam", learning_rate=1e-3)
PLAIN = dict(name="mlp", hidden=[128, 128])
DEEP = dict(name="mlp", hidden=[64] * 12)

# A network and an optimizer by name, the examples of training, epochs.
VARIANTS: dict[str, tuple[dict[str, tuple[Any, Any]], str, int]] = {
    "optimizers": (
        {
            "sgd": (PLAIN, dict(name="sgd", learning_rate=0.1)),
            "momentum": (PLAIN, dict(name="sgd", learning_rate=0.05, momentum=0.9)),
            "adagrad": (PLAIN, dict(name="adagrad", learning_rate=0.02)),
            "rmsprop": (PLAIN, dict(name="rmsprop", learning_rate=1e-3)),
            "adam": (PLAIN, ADAM),
        },
        "train",
        3,
    ),
    "penalties": (
        {
            "none": (PLAIN, ADAM),
            "l1": (PLAIN, dict(ADAM, l1=3e-4)),
            "l2": (PLAIN, dict(ADAM, l2=3e-3)),
            "dropout": (dict(PLAIN, dropout=0.5, input_dropout=0.2), ADAM),
        },
        "train[:1000]",
        100,
    ),
    "depth": (
        {
            activation: (dict(DEEP, activation=activation), dict(name="sgd", learning_rate=0.02))
            for activation in ("sigmoid", "tanh", "relu")
        },
        "train",
        3,
    ),
}


def get_config(variant: str = "optimizers") -> ConfigDict:
    networks, train, epochs = VARIANTS[variant]
    config = presets.in_memory("mnist_npz", batch_size=100)
    config.dataset.train = train
    config.preprocess = [dict(name="decode", channels=1)]
    config.normalize = dict(mean=[0.1307], std=[0.3081])
    config.model = {name: dict(network) for name, (network, _) in networks.items()}
    config.optimizer = {name: dict(optimizer) for name, (_, optimizer) in networks.items()}
    config.task = dict(name="race")
    config.total = f"{epochs} epochs"
    config.evaluate = dict(test=dict(kind="metrics", every="5%"))
    if variant == "depth":
        config.evaluate.gradients = dict(kind="layer_gradients", every="25%")
    config.checkpoint = dict(every="50%")
    config.log_every = "2%"
    return config
