"""Translation of captions by a GRU that attends to the source (Multi30k).

System:    RNNsearch (Bahdanau, Cho & Bengio 2015, arXiv 1409.0473): translate text
Command:   python -m experiments.prepare --dataset=multi30k
           python -m experiments.train --config=configs/bahdanau/multi30k.py:en_de
Hardware:  two CPU cores, a few hours
Expected:  no result is claimed: the paper translates WMT 2014; the aim is a BLEU of 26 or more
Source:    Bahdanau et al. 2015, "Neural machine translation by jointly learning to align and
           translate"; Sennrich, Haddow & Birch 2016 (arXiv 1508.07909) for joint byte pairs

A bidirectional GRU of 256 units reads. Before each token, a GRU of 256 units attends to all places
of the source, and a maxout layer writes. The paper has 1,000 units, words in place of byte pairs,
AdaDelta and no dropout. `:de_en` translates the other way.
"""

from ml_collections import ConfigDict

from library import presets

# The language that is read, and the language that is written.
VARIANTS = {"en_de": ("en", "de"), "de_en": ("de", "en")}


def get_config(variant: str = "en_de") -> ConfigDict:
    source, target = VARIANTS[variant]
    config = presets.multi30k(source, target, every="10%")
    config.model = dict(name="seq2seq.bahdanau", width=256, embedding=256, dropout=0.3)
    config.task = dict(name="translation", inputs=[source, target], beams=5, length_penalty=1.0)
    config.optimizer = dict(
        name="adam",
        learning_rate=1e-3,
        clip=dict(global_norm=1.0),
        schedule=dict(name="cosine", warmup="200 steps"),
    )
    config.total = "6000 steps"
    return config
