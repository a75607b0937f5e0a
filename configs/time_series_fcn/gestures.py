"""A convolutional network over time that recognizes movements, outlines and vowels.

System:    FCN for time series (Wang et al. 2017, arXiv 1611.06455): classify time series
Command:   python -m experiments.prepare --dataset=gestures/gun_point
           python -m experiments.train --config=configs/time_series_fcn/gestures.py:gun_point
Hardware:  two CPU cores, a few minutes
Expected:  no result is claimed
Source:    Wang, Yan & Oates 2017, "Time series classification from scratch with deep neural
           networks: A strong baseline"

The sets are small: 36 to 270 series of training. Each channel has mean 0 and deviation 1 over the
training split. Series of another length are padded, and the padding changes nothing. The network
and Adam's rate of 0.001 are those of the paper; its 2,000 epochs are 300 here, with a cosine
schedule in place of a rate that is halved when the loss stalls.
"""

from ml_collections import ConfigDict

from library import presets

VARIANTS = presets.GESTURES


def get_config(variant: str = "gun_point") -> ConfigDict:
    config = presets.gestures(variant)
    config.model = dict(name="time_series_fcn")
    config.optimizer = dict(name="adam", learning_rate=1e-3, schedule=dict(name="cosine"))
    config.total = "300 epochs"
    return config
