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

# Length of a series, batch size.
VARIANTS = {
    "gun_point": (150, 10),
    "basic_motions": (100, 8),
    "pickup_gesture_wiimote": (361, 10),
    "japanese_vowels": (25, 16),
    "arrow_head": (251, 6),
}


def get_config(variant: str = "gun_point") -> ConfigDict:
    length, batch_size = VARIANTS[variant]
    config = ConfigDict()
    config.dataset = dict(
        name=f"gestures/{variant}",
        train="train",
        test="test",
        batch_size=batch_size,
        eval_batch_size=50,
        cache="device",
    )
    config.preprocess = [
        dict(name="standardize", key="series"),
        dict(name="pad_series", length=length),
    ]
    config.model = dict(name="time_series_fcn")
    config.task = dict(name="classification", inputs=["series", "series_mask"])
    config.optimizer = dict(name="adam", learning_rate=1e-3, schedule=dict(name="cosine"))
    config.total = "300 epochs"
    config.evaluate = dict(test=dict(kind="metrics", every="10%"))
    config.checkpoint = dict(every="50%")
    config.log_every = "10%"
    config.seed = 0
    return config
