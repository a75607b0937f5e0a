"""Translation of captions by an LSTM that attends after its step (Multi30k).

System:    Attention-based encoder-decoder (Luong, Pham & Manning 2015, arXiv 1508.04025): translate
           text
Command:   python -m experiments.prepare --dataset=multi30k
           python -m experiments.train --config=configs/luong/multi30k.py:general
Hardware:  two CPU cores, a few hours
Expected:  no result is claimed: the paper translates WMT 2014
Source:    Luong et al. 2015, "Effective approaches to attention-based neural machine translation"

Two layers of LSTMs read, two write, with input feeding. The variants are the scores of the paper's
section 3.1, and `:local_p`, which predicts the place to look at and sees 5 places to each side (the
paper: 10). The paper has four layers of 1,000 units, words in place of byte pairs, a reversed
source and SGD. `:de_en` translates the other way.
"""

from ml_collections import ConfigDict

from library import presets

# Score, D of the window, the language that is read, and the language that is written.
VARIANTS = {
    "general": ("general", None, "en", "de"),
    "dot": ("dot", None, "en", "de"),
    "concat": ("concat", None, "en", "de"),
    "local_p": ("general", 5, "en", "de"),
    "de_en": ("general", None, "de", "en"),
}


def get_config(variant: str = "general") -> ConfigDict:
    score, window, source, target = VARIANTS[variant]
    config = presets.multi30k(source, target, every="10%")
    config.model = dict(
        name="seq2seq.luong", width=256, embedding=256, score=score, window=window, dropout=0.3
    )
    config.task = dict(name="translation", inputs=[source, target], beams=5, length_penalty=1.0)
    config.optimizer = dict(
        name="adam",
        learning_rate=1e-3,
        clip=dict(global_norm=1.0),
        schedule=dict(name="cosine", warmup="200 steps"),
    )
    config.total = "6000 steps"
    return config
