"""BERT that learns from Wikipedia articles to fill in tokens and to tell what follows (WikiText-2).

System:    BERT (Devlin et al. 2019, arXiv 1810.04805, "BERT: Pre-training of deep bidirectional
           transformers for language understanding"): embed text
Command:   python -m experiments.prepare --dataset=wikitext2
           python -m experiments.train --config=configs/bert/wikitext2.py:tiny
Hardware:  :tiny two CPU cores, an estimated hour; :small and :base a GPU; not run here
Expected:  no result is claimed: the paper learns from 3,300 million words, and the validation
           split read here has 218,000
Source:    Devlin et al. 2019, appendix A.2; sizes of :tiny and :small from Turc et al. 2019, arXiv
           1908.08962

An example is two spans of text with 128 tokens in all. In half of the examples the second follows
the first; otherwise it is from another article. Adam with decoupled weight decay of 0.01, warmup
and a linear schedule, and dropout of 0.1 are those of the paper; the rate, the batches of 64 and
the vocabulary of 4,096 pieces, learned from the text, fit a small text.

Evaluation reads the first span from articles of the test split and others from the validation
split, so that they are different articles.
"""

from ml_collections import ConfigDict

# Model, steps, peak rate.
VARIANTS = {
    "tiny": ("bert.bert_tiny", 10_000, 1e-3),
    "small": ("bert.bert_small", 20_000, 5e-4),
    "base": ("bert.bert_base", 20_000, 1e-4),
}


def get_config(variant: str = "tiny") -> ConfigDict:
    model, steps, rate = VARIANTS[variant]
    config = ConfigDict()
    config.dataset = dict(
        name=None,
        sources=dict(
            first=dict(name="wikitext2", train="validation", test="test"),
            second=dict(name="wikitext2", train="validation", test="validation"),
        ),
        pairing="own",
        batch_size=64,
        eval_batch_size=60,
    )
    config.preprocess = [
        dict(name="select", keys=["first_text", "second_text"]),
        dict(
            name="sentence_pairs",
            document="first_text",
            other="second_text",
            tokenizer=dict(name="wordpiece", vocab_size=4096),
            length=128,
        ),
    ]
    config.model = dict(name=model, context=128)
    config.task = dict(name="masked_language")
    config.optimizer = dict(
        name="adamw",
        learning_rate=rate,
        weight_decay=0.01,
        clip=dict(global_norm=1.0),
        schedule=dict(name="linear", warmup="10%"),
    )
    config.total = f"{steps} steps"
    config.evaluate = dict(test=dict(kind="metrics", every="10%"))
    config.checkpoint = dict(every="10%")
    config.log_every = "1%"
    config.seed = 0
    return config
