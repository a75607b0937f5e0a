"""Linear quantile forecasts of a price that is a random walk: nothing to be gained.

System:    Quantile regression (Koenker & Bassett 1978, "Regression quantiles"): forecast series
Command:   python -m experiments.prepare --dataset=prices
           python -m experiments.train --config=configs/quantile_forecaster/prices.py
Hardware:  one CPU core, a minute
Expected:  test/skill about 0 or less: no forecast is better than the last value, as the series is
           made so. Only the width of the interval can be learnt; test/coverage should be 0.9
Source:    Bachelier 1900, "Théorie de la spéculation"

A program that gains on such a series has seen the future. Real prices are close to it, and a figure
in which the forecast lies on the curve shows yesterday's price.
"""

from ml_collections import ConfigDict

from library import presets


def get_config(variant: str = "") -> ConfigDict:
    config = presets.intervals("prices", known=32, ahead=5, batch_size=64)
    config.splits = dict(validation=dict(split="val"))
    config.evaluate.validation = dict(kind="metrics", split="validation", every="20%")
    config.model = dict(name="ltsf_linear.nlinear", num_outputs=3 * 5)
    config.optimizer = dict(name="adam", learning_rate=1e-3, schedule=dict(name="cosine"))
    config.total = "20 epochs"
    return config
