"""A perceptron on points that a line separates, and on exclusive or, which no line separates.

System:    Perceptron convergence (Novikoff 1962, "On convergence proofs on perceptrons"): classify
           points
Command:   python -m experiments.train --config=configs/perceptron/points.py:separable
           python -m experiments.train --config=configs/perceptron/points.py:xor
Hardware:  any; seconds
Expected:  test/accuracy 1.0 (:separable), and no further mistake after at most (R / margin)^2 of
           them; at most 0.75 (:xor), and mistakes without end
Source:    Novikoff 1962 (the bound); Minsky & Papert 1969, "Perceptrons" (exclusive or)

The points of `:separable` are at least 0.1 away from a line. train/total_mistakes counts the
mistakes of both units, which mirror each other. The report draws the decision in the plane.
"""

from ml_collections import ConfigDict

# Epochs, of one step each.
VARIANTS = {"separable": 100, "xor": 40}


def get_config(variant: str = "separable") -> ConfigDict:
    config = ConfigDict()
    sizes = dict(batch_size=200, eval_batch_size=200)
    if variant == "xor":
        sizes = dict(batch_size=4, eval_batch_size=4)
    config.dataset = dict(name=f"points/{variant}", train="train", test="test", **sizes)
    config.preprocess = []
    config.model = dict(name="mlp.perceptron")
    config.task = dict(name="perceptron", averaged=False, inputs=["features"])
    config.total = f"{VARIANTS[variant]} steps"
    config.evaluate = dict(
        test=dict(kind="metrics", every="10%"),
        decision=dict(kind="plane", every="25%", batch_size=200),
    )
    config.checkpoint = dict(every="50%")
    config.log_every = "1 step"
    config.seed = 0
    return config
