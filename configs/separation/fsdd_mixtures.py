"""Two voices that speak at once are separated by shares of their mixture's spectrum.

System:    Permutation invariant training (Kolbaek et al. 2017, arXiv 1703.06284): separate voices
Command:   python -m experiments.prepare --dataset=fsdd_mixtures
           python -m experiments.train --config=configs/separation/fsdd_mixtures.py
Hardware:  two CPU cores
Expected:  no result is claimed; test/ideal_improvement bounds what shares of spectra can gain
Source:    none on these mixtures
"""

from ml_collections import ConfigDict


def get_config(variant: str = "") -> ConfigDict:
    config = ConfigDict()
    config.dataset = dict(
        name="fsdd_mixtures", train="train", test="test", batch_size=32, eval_batch_size=50
    )
    config.preprocess = [
        dict(name="select", keys=["audio", "voices"]),
        dict(name="pad_series", length=8000),
    ]
    config.model = dict(name="separator", width=64)
    config.task = dict(name="separation")
    config.optimizer = dict(
        name="adam",
        learning_rate=2e-3,
        clip=dict(global_norm=5.0),
        schedule=dict(name="cosine", warmup="5%"),
    )
    config.total = "5 epochs"
    config.evaluate = dict(test=dict(kind="metrics", every="1 epoch"))
    config.checkpoint = dict(every="1 epoch", best="test/improvement", mode="max")
    config.log_every = "20 steps"
    config.seed = 0
    return config
