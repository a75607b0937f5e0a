"""A temporal convolutional network that reads MNIST pixel by pixel, in order or permuted.

System:    TCN (Bai et al. 2018, "An empirical evaluation of generic convolutional and recurrent
           networks for sequence modeling"): answer from a series
Command:   python -m experiments.prepare --dataset=mnist_npz
           python -m experiments.train --config=configs/tcn/mnist.py:sequential
Hardware:  one GPU, or an estimated five hours on two CPU cores; not run here
Expected:  test/accuracy 0.990 (:sequential) and 0.972 (:permuted)
Source:    Bai, Kolter & Koltun 2018, "An empirical evaluation of generic convolutional and
           recurrent networks for sequence modeling", arXiv 1803.01271, table 1; settings of
           the authors' program, locuslab/TCN: 66,910 params.
"""

from ml_collections import ConfigDict

from library import presets

# Reported accuracy.
VARIANTS = {"sequential": 0.990, "permuted": 0.972}


def get_config(variant: str = "sequential") -> ConfigDict:
    config = presets.sequential_mnist(permuted=variant == "permuted")
    config.model = dict(name="tcn", widths=[25] * 8, kernel_size=7, dropout=0.05)
    schedule = dict(name="step", boundaries=["10 epochs"], factor=0.1)
    config.optimizer = dict(name="adam", learning_rate=2e-3, schedule=schedule)
    config.total = "20 epochs"
    config.reported = dict(
        metric="test/accuracy", value=VARIANTS[variant], source="Bai et al. 2018, table 1"
    )
    return config
