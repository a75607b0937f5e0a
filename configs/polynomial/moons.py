"""Logistic regression of polynomials: a degree too low, one that fits, and one too high.

System:    Logistic regression (Cox 1958, "The regression analysis of binary sequences"): classify
           points
Command:   python -m experiments.train --config=configs/polynomial/moons.py:d3
           python -m experiments.train --config=configs/polynomial/moons.py:d1
           python -m experiments.train --config=configs/polynomial/moons.py:d9
           python -m experiments.train --config=configs/polynomial/moons.py:d9_l2
Hardware:  any; seconds
Expected:  no result is claimed. :d1 underfits: both losses are high. :d9 overfits: train/loss falls
           towards 0 and test/loss rises; a penalty (:d9_l2) prevents it
Source:    Bishop 2006, "Pattern recognition and machine learning", section 1.1 (for regression)

There are 40 points of training in two interlocking half circles, with noise. The report draws the
decision in the plane over training.
"""

from ml_collections import ConfigDict

# Degree, penalty.
VARIANTS = {"d3": (3, 0.0), "d1": (1, 0.0), "d9": (9, 0.0), "d9_l2": (9, 0.01)}


def get_config(variant: str = "d3") -> ConfigDict:
    degree, penalty = VARIANTS[variant]
    config = ConfigDict()
    config.dataset = dict(
        name="points/moons",
        train="train",
        test="test",
        batch_size=40,
        eval_batch_size=1000,
        cache="device",
    )
    config.preprocess = []
    config.model = dict(name="polynomial", degree=degree)
    config.task = dict(name="classification", inputs=["features"])
    config.optimizer = dict(name="adam", learning_rate=0.1, l2=penalty)
    config.total = "3000 steps"
    config.steps_per_call = 50
    config.evaluate = dict(
        test=dict(kind="metrics", every="5%"), decision=dict(kind="plane", every="10%")
    )
    config.checkpoint = dict(every="50%")
    config.log_every = "50 steps"
    config.seed = 0
    return config
