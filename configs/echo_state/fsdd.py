"""An echo state network that classifies spoken digits, with a readout in closed form.

System:    Echo state network (Jaeger 2001, "The 'echo state' approach to analysing and training
           recurrent neural networks"): classify recordings
Command:   python -m experiments.prepare --dataset=fsdd
           python -m experiments.train --config=configs/echo_state/fsdd.py
Hardware:  two CPU cores, about a minute
Expected:  no result is claimed; the aim of this project is test/accuracy 0.99, and 0.80 on average
           for a speaker whom training has not heard (`:speaker`)
Source:    none on these recordings
"""

from ml_collections import ConfigDict

VARIANTS = {"official": "fsdd", "speaker": "fsdd_speakers/theo"}


def get_config(variant: str = "official") -> ConfigDict:
    config = ConfigDict()
    config.dataset = dict(
        name=VARIANTS[variant], train="train", test="test", batch_size=100, eval_batch_size=100
    )
    config.preprocess = [
        dict(name="select", keys=["audio", "label"]),
        dict(name="pad_series", length=8000, crop="start"),
    ]
    config.device_preprocess = [dict(name="log_mel", rate=8000, bands=26)]
    config.model = dict(name="echo_state")
    config.task = dict(name="echo_state", ridge=30.0)
    # The readout of one epoch is that of the whole set.
    config.total = "1 epoch"
    config.evaluate = dict(test=dict(kind="metrics", every="100%"))
    config.checkpoint = dict(every="100%")
    config.log_every = "5 steps"
    config.seed = 0
    return config
