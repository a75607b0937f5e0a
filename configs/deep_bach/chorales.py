"""DeepBach: Bach's chorales for four voices, and harmonizations of a given soprano.

System:    DeepBach (Hadjeres, Pachet & Nielsen 2017, "DeepBach: a steerable model for Bach chorales
           generation"): compose music
Command:   python -m experiments.prepare --dataset=bach_chorales
           python -m experiments.train --config=configs/deep_bach/chorales.py:cpu
Hardware:  one GPU; three minutes on one CPU core for `:cpu`
Expected:  no result is claimed
Source:    Hadjeres, Pachet & Nielsen 2017, arXiv 1612.01010; sizes and rates are ours

`python -m experiments.generate --workdir=DIR` composes chorales, and with `--split=test` harmonizes
the sopranos of examples. `--config.task.given="['alto', 'bass']"` keeps other voices.
"""

from ml_collections import ConfigDict

# Sizes of the model, epochs.
VARIANTS = {
    "gpu": (dict(embedding=20, width=200, depth=2), 100),
    "cpu": (dict(embedding=16, width=64, depth=1), 30),
}


def get_config(variant: str = "gpu") -> ConfigDict:
    sizes, epochs = VARIANTS[variant]
    config = ConfigDict()
    # A tenth of the pieces for training chooses the checkpoint.
    config.dataset = dict(
        name="bach_chorales", train="train[:298]", test="test", batch_size=16, eval_batch_size=10
    )
    chosen = dict(name="select", keys=["series", "onset"])
    cut = dict(name="chorale", length=64, crop="random", transpose=4)
    whole = dict(name="chorale", length=256, crop="start")
    config.preprocess = dict(train=[chosen, cut], test=[chosen, whole])
    config.splits = dict(validation=dict(split="train[298:]"))
    config.model = dict(name="deep_bach", **sizes)
    config.task = dict(name="harmonization")
    config.optimizer = dict(
        name="adam",
        learning_rate=3e-3,
        clip=dict(global_norm=1.0),
        schedule=dict(name="cosine", warmup="5%"),
    )
    config.total = f"{epochs} epochs"
    config.evaluate = dict(
        validation=dict(kind="metrics", split="validation", every="10%"),
        test=dict(kind="metrics", every="100%"),
        composed=dict(kind="samples", num=4, every="100%"),
        harmonized=dict(kind="samples", output="arranged", split="test", num=4, every="100%"),
    )
    config.checkpoint = dict(every="10%", best="validation/loss", mode="min")
    config.log_every = "20 steps"
    config.seed = 0
    return config
