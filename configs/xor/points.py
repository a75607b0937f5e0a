"""Exclusive or: one layer cannot learn it, two can.

System:    Exclusive or by a hidden layer (Rumelhart, Hinton & Williams 1986, "Learning internal
           representations by error propagation"): classify points
Command:   python -m experiments.train --config=configs/xor/points.py:two
           python -m experiments.train --config=configs/xor/points.py:one
Hardware:  any; seconds
Expected:  test/accuracy 1.0 (:two); at most 0.75, and a loss of ln 2 (:one)
Source:    Minsky & Papert 1969, "Perceptrons" (:one); Rumelhart et al. 1986, figure 2 (:two)

The report draws the decision in the plane over training.
"""

from ml_collections import ConfigDict

# Hidden units.
VARIANTS = {"two": [4], "one": []}


def get_config(variant: str = "two") -> ConfigDict:
    config = ConfigDict()
    config.dataset = dict(
        name="points/xor", train="train", test="test", batch_size=4, eval_batch_size=4
    )
    config.preprocess = []
    config.model = dict(name="mlp", hidden=VARIANTS[variant], activation="tanh")
    config.task = dict(name="classification", inputs=["features"])
    config.optimizer = dict(name="adam", learning_rate=0.05)
    config.total = "400 steps"
    config.evaluate = dict(
        test=dict(kind="metrics", every="10%"),
        decision=dict(kind="plane", every="10%", batch_size=2048),
    )
    config.checkpoint = dict(every="50%")
    config.log_every = "10 steps"
    config.seed = 0
    return config
