"""A bidirectional LSTM that tells positive from negative sentences of film reviews (SST-2).

System:    Bidirectional LSTM (Tai, Socher & Manning 2015, "Improved semantic representations from
           tree-structured long short-term memory networks"): classify text
Command:   python -m experiments.prepare --dataset=sst2
           python -m experiments.prepare --dataset=glove50
           python -m experiments.train --config=configs/glove/glove50.py --workdir=runs/glove50
           python -m experiments.train --config=configs/bilstm/sst2.py
Hardware:  two CPU cores, an estimated ten minutes; not run here
Expected:  no result is claimed: the paper's 87.5 % also trains on phrases, and begins with vectors
           of 300 numbers
Source:    Tai et al. 2015, arXiv 1503.00075, section 5 and table 2: batches of 25, dropout of 0.5,
           a penalty of 1e-4 on the params, 168 units in each direction

Embeddings begin with the vectors of GloVe where a word has one, and learn; in :random they begin at
random. The optimizer is Adam in place of Adagrad.
"""

from ml_collections import ConfigDict

VARIANTS = ("glove", "random")


def get_config(variant: str = "glove") -> ConfigDict:
    config = ConfigDict()
    config.dataset = dict(
        name="sst2",
        train="train",
        test="test",
        batch_size=25,
        eval_batch_size=200,
        cache="device",
    )
    words = dict(name="word", min_count=2)
    if variant == "glove":
        words["more"] = "runs/glove50"
        config.init_from = dict(workdir="runs/glove50")
    config.splits = dict(validation=dict(split="validation"))
    config.preprocess = [
        dict(name="select", keys=["text", "label"]),
        dict(name="tokenize", keys=["text"], tokenizer=words),
        dict(name="pad_series", length=56),
    ]
    config.model = dict(name="text_rnn.bilstm", embedding=50)
    config.task = dict(name="classification", inputs=["text", "text_mask"])
    config.optimizer = dict(name="adam", learning_rate=1e-3, l2=1e-4, clip=dict(global_norm=5.0))
    config.total = "8 epochs"
    config.evaluate = dict(
        validation=dict(kind="metrics", split="validation", every="1 epoch"),
        test=dict(kind="metrics", every="100%"),
    )
    config.checkpoint = dict(every="1 epoch", best="validation/accuracy")
    config.log_every = "20 steps"
    config.seed = 0
    return config
