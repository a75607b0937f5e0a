"""A temporal convolutional network on the copy problem.

System:    TCN (Bai et al. 2018, "An empirical evaluation of generic convolutional and recurrent
           networks for sequence modeling"): answer from a series
Command:   python -m experiments.train --config=configs/tcn/copying.py:t10
Hardware:  two CPU cores for a pause of 10 steps; not run here. 1,000 steps take a GPU, or hours.
Expected:  test/loss 3.5e-5 (:t1000); the source has no value for 10 steps
Source:    Bai, Kolter & Koltun 2018, "An empirical evaluation of generic convolutional and
           recurrent networks for sequence modeling", arXiv 1803.01271, table 1; settings of
           the authors' program, locuslab/TCN.

A network that forgets the symbols has a loss of 10 ln 8 / 1020 = 0.0204, after 1,000 steps.
"""

from ml_collections import ConfigDict

from library import presets

# Steps of the pause, blocks, reported loss.
VARIANTS = {"t10": (10, 3, None), "t1000": (1000, 8, 3.5e-5)}


def get_config(variant: str = "t10") -> ConfigDict:
    length, blocks, reported = VARIANTS[variant]
    config = presets.copying(length)
    widths = [10] * blocks
    config.model = dict(name="tcn", num_classes=10, widths=widths, kernel_size=8, output="each")
    # The decay, and the place of epsilon, of PyTorch.
    config.optimizer = dict(
        name="rmsprop",
        learning_rate=5e-4,
        decay=0.99,
        eps_in_sqrt=False,
        clip=dict(global_norm=1.0),
    )
    config.total = "50 epochs"
    if reported is not None:
        config.reported = dict(
            metric="test/loss", value=reported, source="Bai et al. 2018, table 1"
        )
    return config
