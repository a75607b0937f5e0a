"""A convolutional network that tells positive from negative sentences of film reviews (SST-2).

System:    Text CNN (Kim 2014, "Convolutional neural networks for sentence classification"):
           classify text
Command:   python -m experiments.prepare --dataset=sst2
           python -m experiments.train --config=configs/text_cnn/sst2.py
Hardware:  two CPU cores, an estimated ten minutes; not run here
Expected:  no result is claimed: the paper's 82.7 % (CNN-rand) also trains on phrases. The aim is a
           test/accuracy above the 0.822 of naive Bayes on these sentences
Source:    Kim 2014, arXiv 1408.5882, tables 1 and 2

The data are 6,920 whole sentences; words that occur once are unknown. Embeddings start at random.
Windows, filters, dropout, batches of 50 and Adadelta are those of the paper, which also bounds the
norm of the head's weights by 3.
"""

from ml_collections import ConfigDict


def get_config(variant: str = "") -> ConfigDict:
    config = ConfigDict()
    config.dataset = dict(
        name="sst2",
        train="train",
        test="test",
        batch_size=50,
        eval_batch_size=200,
        cache="device",
    )
    config.splits = dict(validation=dict(split="validation"))
    config.preprocess = [
        dict(name="select", keys=["text", "label"]),
        dict(name="tokenize", keys=["text"], tokenizer=dict(name="word", min_count=2)),
        dict(name="pad_series", length=56),
    ]
    config.model = dict(name="text_cnn")
    config.task = dict(name="classification", inputs=["text", "text_mask"])
    config.optimizer = dict(name="adadelta", learning_rate=1.0, rho=0.95)
    config.total = "15 epochs"
    config.evaluate = dict(
        validation=dict(kind="metrics", split="validation", every="1 epoch"),
        test=dict(kind="metrics", every="100%"),
    )
    config.checkpoint = dict(every="1 epoch", best="validation/accuracy")
    config.log_every = "20 steps"
    config.seed = 0
    return config
