"""One hidden layer approximates a wave: the better, the wider it is; and deeper networks beside it.

System:    Universal approximation (Cybenko 1989, "Approximation by superpositions of a sigmoidal
           function"): fit functions
Command:   python -m experiments.train --config=configs/universal_approximation/wave.py:w64
           python -m experiments.train --config=configs/universal_approximation/wave.py:w4
           python -m experiments.train --config=configs/universal_approximation/wave.py:deep
Hardware:  any; a minute each
Expected:  no result is claimed; the aim of this project is curve/largest_error 0.1 or less (:w64).
           Four units (:w4) cannot follow the wave
Source:    Cybenko 1989 proves that some width suffices for any error

The wave is sin(2 pi x) + sin(6 pi x) / 2. The report draws it and the network's curve over
training. `:random` leaves 200 random units as they are and solves for their weights at once. Other
widths and depths: --config.model.hidden=16,16.
"""

from ml_collections import ConfigDict

VARIANTS = {"w64": [64], "w4": [4], "w16": [16], "deep": [16, 16, 16], "random": [200]}


def get_config(variant: str = "w64") -> ConfigDict:
    config = ConfigDict()
    config.dataset = dict(
        name="points/wave",
        train="train",
        test="test",
        batch_size=256,
        eval_batch_size=1001,
        cache="device",
    )
    config.preprocess = []
    config.model = dict(name="sigmoids", hidden=VARIANTS[variant])
    if variant == "random":
        config.task = dict(name="least_squares", answer="target", ridge=1e-7, inputs=["features"])
        config.total = "1 step"
    else:
        config.task = dict(name="regression", inputs=["features"])
        config.optimizer = dict(name="adam", learning_rate=0.02, schedule=dict(name="cosine"))
        config.total = "4000 steps"
        config.steps_per_call = 100
    config.evaluate = dict(
        test=dict(kind="metrics", every="10%"), curve=dict(kind="curve", every="10%")
    )
    config.checkpoint = dict(every="50%")
    config.log_every = "2.5%"
    config.seed = 0
    return config
