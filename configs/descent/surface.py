"""Five optimizers race down a curved valley, and away from a saddle.

System:    Race of optimizers on a surface (Rosenbrock 1960, "An automatic method for finding the
           greatest or least value of a function"): compare optimizers
Command:   python -m experiments.train --config=configs/descent/surface.py:rosenbrock
           python -m experiments.train --config=configs/descent/surface.py:saddle
Hardware:  any; seconds
Expected:  no result is claimed. NAME_loss is the value that each optimizer reaches
Source:    Rosenbrock 1960; Dauphin et al. 2014, "Identifying and attacking the saddle point
           problem in high-dimensional non-convex optimization"

The report has a film of the paths: SGD red, momentum blue, Adagrad green, RMSProp purple and Adam
cyan. `:saddle` starts a thousandth beside the line on which descent ends in the saddle.
"""

from ml_collections import ConfigDict

# Learning rates, steps. Larger rates make SGD and momentum diverge in the valley.
VARIANTS = {
    "rosenbrock": (dict(sgd=1e-3, momentum=3e-4, adagrad=0.5, rmsprop=0.01, adam=0.05), 2000),
    "saddle": (dict(sgd=0.05, momentum=0.01, adagrad=0.1, rmsprop=0.01, adam=0.02), 200),
}
OPTIMIZERS = {
    "sgd": dict(name="sgd"),
    "momentum": dict(name="sgd", momentum=0.9),
    "adagrad": dict(name="adagrad"),
    "rmsprop": dict(name="rmsprop"),
    "adam": dict(name="adam"),
}


def get_config(variant: str = "rosenbrock") -> ConfigDict:
    rates, steps = VARIANTS[variant]
    config = ConfigDict()
    config.dataset = dict(name="none", batch_size=8, eval_batch_size=8)
    config.preprocess = []
    config.model = dict(name=f"surface.{variant}")
    config.task = dict(name="descent", optimizers=list(OPTIMIZERS))
    config.optimizer = {
        name: dict(optimizer, learning_rate=rates[name]) for name, optimizer in OPTIMIZERS.items()
    }
    config.total = f"{steps} steps"
    config.evaluate = dict(
        film=dict(kind="samples", num=1, every="2.5%"),
    )
    config.checkpoint = dict(every="50%")
    config.log_every = "1%"
    config.seed = 0
    return config
