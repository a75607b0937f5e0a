"""A temporal convolutional network on the adding problem.

System:    TCN (Bai et al. 2018, "An empirical evaluation of generic convolutional and recurrent
           networks for sequence modeling"): answer from a series
Command:   python -m experiments.train --config=configs/tcn/adding.py:t100
Hardware:  two CPU cores, an estimated 15 minutes for 100 steps; not run here. 600 steps take a GPU,
           or hours.
Expected:  test/loss 5.8e-5 (:t600); the source has no value for 100 steps
Source:    Bai, Kolter & Koltun 2018, "An empirical evaluation of generic convolutional and
           recurrent networks for sequence modeling", arXiv 1803.01271, table 1; settings of
           the authors' program, locuslab/TCN: 96,001 params for :t600.
"""

from ml_collections import ConfigDict

from library import presets

# Steps of a series, blocks, reported loss.
VARIANTS = {"t100": (100, 6, None), "t600": (600, 8, 5.8e-5)}


def get_config(variant: str = "t100") -> ConfigDict:
    length, blocks, reported = VARIANTS[variant]
    config = presets.adding(length)
    config.model = dict(name="tcn", widths=[30] * blocks, kernel_size=7)
    config.optimizer = dict(name="adam", learning_rate=4e-3)
    config.total = "10 epochs"
    if reported is not None:
        config.reported = dict(
            metric="test/loss", value=reported, source="Bai et al. 2018, table 1"
        )
    return config
