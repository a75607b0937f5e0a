"""An LSTM that gives the mean and the deviation of passengers, sunspots and temperatures to come.

System:    Gaussian output (Nix & Weigend 1994, "Estimating the mean and variance of the target
           probability distribution"): forecast series
Command:   python -m experiments.prepare --dataset=tabular/sunspots
           python -m experiments.train --config=configs/gaussian_forecaster/small_series.py:sunspots
Hardware:  one CPU core, a few minutes
Expected:  no result is claimed. test/coverage should be 0.9, and test/skill above 0
Source:    none: the network and the settings are ours

The series are those of configs/quantile_forecaster/small_series.py. The interval is symmetric, as
that of a Gaussian is, and numbers that cannot be negative, such as sunspots, do not know it.
"""

from ml_collections import ConfigDict

from library import presets

# Steps that are known, steps ahead, epochs.
VARIANTS = {
    "sunspots": (132, 24, 10),
    "airline_passengers": (24, 12, 100),
    "temperatures": (60, 14, 10),
}


def get_config(variant: str = "sunspots") -> ConfigDict:
    known, ahead, epochs = VARIANTS[variant]
    config = presets.intervals(f"tabular/{variant}", known, ahead)
    config.task.output = "gaussian"
    config.model = dict(name="rnn.lstm", num_classes=2 * ahead, width=32)
    config.optimizer = dict(
        name="adam",
        learning_rate=2e-3,
        clip=dict(global_norm=1.0),
        schedule=dict(name="cosine"),
    )
    config.total = f"{epochs} epochs"
    return config
