"""A temporal convolutional network that predicts the next frame of a piano roll.

System:    TCN for music (Bai et al. 2018, "An empirical evaluation of generic convolutional and
           recurrent networks for sequence modeling"): compose music
Command:   python -m experiments.prepare --dataset=jsb_chorales/jsb
           python -m experiments.train --config=configs/tcn/piano_rolls.py:jsb
Hardware:  one GPU; four minutes on one CPU core for :jsb_cpu
Expected:  test/loss 8.10 (:jsb) and 3.07 (:nottingham), nats a frame
Source:    Bai, Kolter & Koltun 2018, "An empirical evaluation of generic convolutional and
           recurrent networks for sequence modeling", arXiv 1803.01271, table 1; settings of
           the authors' program, locuslab/TCN: Adam at 1e-3, 4 blocks of 150 channels, windows of 5,
           a dropout of 0.25, one piece a step, 100 epochs.

Notes that are independent of all others have a test/loss of 11.09 (:jsb) and 10.26 (:nottingham), a
logistic regression on the last frame 9.06 and 4.66. The authors' program states a limit of 0.2 on
the norm of gradients, but applies it before it computes them. Here nothing is clipped.
"""

from ml_collections import ConfigDict

from library import presets

# Pieces, pieces a step, length, reported loss.
VARIANTS = {
    "jsb": ("jsb", 1, "100 epochs", 8.10),
    "nottingham": ("nottingham", 1, "100 epochs", 3.07),
    "jsb_cpu": ("jsb", 8, "60 epochs", None),
}


def get_config(variant: str = "jsb") -> ConfigDict:
    name, batch_size, total, reported = VARIANTS[variant]
    config = presets.piano_rolls(name, batch_size)
    config.model = dict(name="tcn", num_classes=88, widths=[150] * 4, kernel_size=5)
    config.model.update(dropout=0.25, output="each")
    # The authors divide the rate by 10 when the loss of the validation split rises.
    schedule = dict(name="step", boundaries=["60%", "85%"], factor=0.1)
    config.optimizer = dict(name="adam", learning_rate=1e-3, schedule=schedule)
    config.total = total
    if reported is not None:
        config.reported = dict(
            metric="test/loss", value=reported, source="Bai et al. 2018, table 1"
        )
    return config
