"""A small network of rectified units cuts the plane into pieces on which it is linear.

System:    Linear regions (Montufar et al. 2014, "On the number of linear regions of deep neural
           networks"): count linear pieces
Command:   python -m experiments.train --config=configs/linear_regions/points.py:deep
           python -m experiments.train --config=configs/linear_regions/points.py:wide
Hardware:  any; a minute
Expected:  no result is claimed; regions/regions is the exact count in the square [-1, 1]^2, and
           test/accuracy 1.0
Source:    Montufar et al. 2014 (more layers can make more regions with as many units); Hanin &
           Rolnick 2019, "Complexity of linear regions in deep networks" (in practice there are few)

Both variants have 24 units. The report draws the pieces and the decision over training.
"""

from ml_collections import ConfigDict

VARIANTS = {"deep": [8, 8, 8], "wide": [24]}


def get_config(variant: str = "deep") -> ConfigDict:
    config = ConfigDict()
    config.dataset = dict(
        name="points/rings",
        train="train",
        test="test",
        batch_size=100,
        eval_batch_size=400,
        cache="device",
    )
    config.preprocess = []
    config.model = dict(name="mlp", hidden=VARIANTS[variant])
    config.task = dict(name="classification", inputs=["features"])
    config.optimizer = dict(name="adam", learning_rate=0.01)
    config.total = "1000 steps"
    config.evaluate = dict(
        test=dict(kind="metrics", every="10%"),
        regions=dict(kind="linear_regions", every="10%"),
        decision=dict(kind="plane", every="10%"),
    )
    config.checkpoint = dict(every="50%")
    config.log_every = "1%"
    config.seed = 0
    return config
