"""A temporal convolutional network that forecasts the load of a transformer (ETT).

System:    TCN (Bai et al. 2018, "An empirical evaluation of generic convolutional and recurrent
           networks for sequence modeling"): answer from a series
Command:   python -m experiments.prepare --dataset=ett/etth1
           python -m experiments.train --config=configs/tcn/ett.py
Hardware:  two CPU cores, an estimated ten minutes; not run here
Expected:  no result is claimed; a linear forecast from 336 hours has a test/mse of 0.374
Source:    none: the settings are ours

96 hours of all seven channels are forecast from the 96 before.
"""

from ml_collections import ConfigDict

from library import presets


def get_config(variant: str = "") -> ConfigDict:
    config = presets.forecasting("ett/etth1", known=96, ahead=96)
    config.model = dict(name="tcn", widths=[32] * 5, kernel_size=3, dropout=0.1)
    config.optimizer = dict(
        name="adam",
        learning_rate=1e-3,
        clip=dict(global_norm=1.0),
        schedule=dict(name="exponential", factor=0.5, every="1 epoch", staircase=True),
    )
    config.total = "6 epochs"
    return config
