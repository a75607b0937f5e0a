"""Multi-layer perceptrons on MNIST, without and with dropout.

System:    MLP with dropout (Srivastava et al. 2014, "Dropout: a simple way to prevent neural
           networks from overfitting"): classify images
Command:   python -m experiments.prepare --dataset=mnist_npz
           python -m experiments.train --config=configs/mlp/mnist.py:mlp
Hardware:  two CPU cores: 5 minutes for :mlp, 15 for :dropout
Expected:  test/accuracy 0.9840 (:mlp) and 0.9875 (:dropout)
Source:    Srivastava et al. 2014, "Dropout", table 2: two layers of 800 units, 1.60 % error (from
           Simard et al. 2003), and three rectified layers of 1024 with dropout, 1.25 %.

The dataset is the original MNIST, read from its NumPy file. `dataset.name=mnist` uses TFDS.
"""

from ml_collections import ConfigDict

from library import presets

# Model, epochs, reported accuracy.
VARIANTS = {
    "mlp": (dict(hidden=[800, 800]), 20, 0.9840),
    "dropout": (dict(hidden=[1024, 1024, 1024], dropout=0.5, input_dropout=0.2), 30, 0.9875),
}


def get_config(variant: str = "mlp") -> ConfigDict:
    model, epochs, reported = VARIANTS[variant]
    config = presets.in_memory("mnist_npz", batch_size=128)
    config.preprocess = [dict(name="decode", channels=1)]
    config.model = dict(name="mlp", num_classes=10, **model)
    config.task = dict(name="classification")
    config.optimizer = dict(name="adam", learning_rate=1e-3, schedule=dict(name="cosine"))
    config.total = f"{epochs} epochs"
    config.checkpoint = dict(every="5 epochs")
    config.reported = dict(
        metric="test/accuracy", value=reported, source="Srivastava et al. 2014, table 2"
    )
    return config
