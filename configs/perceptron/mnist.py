"""Ten perceptrons that read the digits of MNIST, with the mean of their weights or with the last.

System:    Perceptron (Rosenblatt 1958, "The perceptron: a probabilistic model for information
           storage and organization in the brain"): classify images
Command:   python -m experiments.prepare --dataset=mnist_npz
           python -m experiments.train --config=configs/perceptron/mnist.py:averaged
           python -m experiments.train --config=configs/perceptron/mnist.py:last
Hardware:  one CPU core, about a minute
Expected:  no result is claimed; the aim of this project is test/accuracy 0.918 (:averaged). The
           last weights (:last) depend on the last digits seen, and reach 0.84 to 0.89
Source:    none with threshold units; LeCun et al. 1998, table I, has 12.0 % errors of a linear
           classifier

`:association` puts 1,000 random rectified units before the perceptrons, as the association units
of 1958 were wired at random.
"""

from ml_collections import ConfigDict

from library import presets

# Averaged, hidden units.
VARIANTS = {"averaged": (True, []), "last": (False, []), "association": (True, [1000])}


def get_config(variant: str = "averaged") -> ConfigDict:
    averaged, hidden = VARIANTS[variant]
    config = presets.in_memory("mnist_npz", batch_size=100)
    config.preprocess = [dict(name="decode", channels=1)]
    config.model = dict(name="mlp", hidden=hidden)
    config.task = dict(name="perceptron", averaged=averaged)
    config.total = "5 epochs"
    return config
