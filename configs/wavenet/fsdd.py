"""WaveNet on spoken digits: each sample of a wave from those before it.

System:    WaveNet (van den Oord et al. 2016, arXiv 1609.03499): generate speech
Command:   python -m experiments.prepare --dataset=fsdd
           python -m experiments.train --config=configs/wavenet/fsdd.py
Hardware:  an accelerator; on two CPU cores a step takes seconds
Expected:  no result is claimed
Source:    none: the paper reports opinions of listeners

Samples are 256 levels of the mu-law at 8 kHz. A prediction depends on 2,047 samples, a quarter of a
second. The loss is in nats a sample. No label tells the network which digit to say.
"""

from ml_collections import ConfigDict

LEVELS = 256


def get_config(variant: str = "") -> ConfigDict:
    config = ConfigDict()
    config.dataset = dict(name="fsdd", train="train", test="test", batch_size=8, eval_batch_size=20)
    config.preprocess = dict(
        train=[
            dict(name="select", keys=["audio"]),
            dict(name="pad_series", length=4001, crop="random"),
            dict(name="mu_law", levels=LEVELS),
        ],
        test=[
            dict(name="select", keys=["audio"]),
            dict(name="pad_series", length=4001, crop="start"),
            dict(name="mu_law", levels=LEVELS),
        ],
    )
    config.model = dict(name="wavenet", vocab_size=LEVELS)
    config.task = dict(name="language", vocab_size=LEVELS)
    config.optimizer = dict(name="adam", learning_rate=1e-3, clip=dict(global_norm=1.0))
    config.total = "10 epochs"
    config.evaluate = dict(test=dict(kind="metrics", every="1 epoch"))
    config.checkpoint = dict(every="1 epoch", best="test/loss", mode="min")
    config.log_every = "20 steps"
    config.seed = 0
    return config
