"""Naive Bayes on the words of sentences of film reviews (SST-2): a floor for networks.

System:    Naive Bayes (McCallum & Nigam 1998, "A comparison of event models for naive Bayes text
           classification"): classify text
Command:   python -m experiments.prepare --dataset=sst2
           python -m experiments.train --config=configs/naive_bayes/sst2.py
Hardware:  two CPU cores, seconds
Expected:  no result is claimed; the aim of this project is test/accuracy 0.82
Source:    Socher et al. 2013, "Recursive deep models for semantic compositionality over a sentiment
           treebank", table 1, has 81.8 % with training on phrases, too
"""

from ml_collections import ConfigDict


def get_config(variant: str = "") -> ConfigDict:
    config = ConfigDict()
    config.dataset = dict(
        name="sst2", train="train", test="test", batch_size=173, eval_batch_size=200
    )
    config.preprocess = [
        dict(name="select", keys=["text", "label"]),
        dict(name="tokenize", keys=["text"], tokenizer=dict(name="word")),
        dict(name="pad_series", length=56),
    ]
    # Padding, the beginning and the end of a text, and unknown words.
    config.model = dict(name="bag_of_words", ignore=[0, 1, 2, 3])
    config.task = dict(name="naive_bayes")
    # The classifier of one epoch is that of the whole set.
    config.total = "1 epoch"
    config.evaluate = dict(test=dict(kind="metrics", every="100%"))
    config.checkpoint = dict(every="100%")
    config.log_every = "10 steps"
    config.seed = 0
    return config
