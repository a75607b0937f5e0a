"""Vectors of words of Wikipedia articles, by predicting neighbours (WikiText-2).

System:    word2vec (Mikolov et al. 2013, arXiv 1310.4546): embed words
Command:   python -m experiments.prepare --dataset=wikitext2
           python -m experiments.train --config=configs/word2vec/wikitext2.py:skip_gram
Hardware:  two CPU cores, an estimated ten minutes; not run here
Expected:  no result is claimed: the paper learns from a thousand million words, which analogies
           need; the validation split read here has 218,000
Source:    Mikolov et al. 2013, arXiv 1301.3781 and 1310.4546

Words that occur five times or more have vectors of 100 numbers. Windows, words of noise and
subsampling are those of the authors' program; the optimizer is Adam in place of gradient descent a
word at a time.
"""

from ml_collections import ConfigDict

VARIANTS = ("skip_gram", "cbow")


def get_config(variant: str = "skip_gram") -> ConfigDict:
    config = ConfigDict()
    config.dataset = dict(
        name="wikitext2",
        train="validation",
        test="test",
        tokenizer=dict(name="word", min_count=5),
        context=128,
        batch_size=32,
        eval_batch_size=64,
    )
    config.preprocess = []
    config.model = dict(name="word_vectors", width=100)
    config.task = dict(name="word2vec", form=variant)
    config.optimizer = dict(name="adam", learning_rate=2e-3, schedule=dict(name="linear"))
    config.total = "20 epochs"
    config.evaluate = dict(
        test=dict(kind="metrics", every="5 epochs"),
        words=dict(kind="word_neighbours", every="100%"),
    )
    config.checkpoint = dict(every="5 epochs", best="test/loss", mode="min")
    config.log_every = "20 steps"
    config.seed = 0
    return config
