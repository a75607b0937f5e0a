"""Linear quantile forecasts of passengers, sunspots and temperatures, with an interval of 90 %.

System:    Quantile regression (Koenker & Bassett 1978, "Regression quantiles"): forecast series
Command:   python -m experiments.prepare --dataset=tabular/sunspots
           python -m experiments.train --config=configs/quantile_forecaster/small_series.py:sunspots
Hardware:  one CPU core, a minute
Expected:  no result is claimed. test/coverage should be 0.9, and test/skill above 0, as a forecast
           that repeats the last value has 0
Source:    none: the settings are ours

Each of three quantiles of the steps ahead is a linear function of the steps that are known, by
NLinear (Zeng et al. 2023). `:airline_passengers` and `:sunspots` are by month, `:temperatures` by
day. The passengers grow beyond all that training has seen, so their interval is too narrow. The
report shows forecasts.
"""

from ml_collections import ConfigDict

from library import presets

# Steps that are known, steps ahead, epochs.
VARIANTS = {
    "sunspots": (132, 24, 20),
    "airline_passengers": (24, 12, 200),
    "temperatures": (60, 14, 20),
}


def get_config(variant: str = "sunspots") -> ConfigDict:
    known, ahead, epochs = VARIANTS[variant]
    config = presets.intervals(f"tabular/{variant}", known, ahead)
    config.model = dict(name="ltsf_linear.nlinear", num_outputs=3 * ahead)
    config.optimizer = dict(name="adam", learning_rate=5e-3, schedule=dict(name="cosine"))
    config.total = f"{epochs} epochs"
    return config
