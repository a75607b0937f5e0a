"""Translation of captions through a single state of an LSTM, without attention (Multi30k).

System:    Sequence to sequence (Sutskever, Vinyals & Le 2014, arXiv 1409.3215): translate text
Command:   python -m experiments.prepare --dataset=multi30k
           python -m experiments.train --config=configs/sutskever/multi30k.py:en_de
Hardware:  two CPU cores, a few hours
Expected:  no result is claimed: the paper translates WMT 2014
Source:    Sutskever et al. 2014, "Sequence to sequence learning with neural networks"

The encoder reads the source from its end to its beginning, as in the paper's section 3.3. Two
layers of 256 units read, and two write. The paper has four of 1,000, an embedding of 1,000, words
in place of byte pairs, a uniform initialization, SGD and no dropout. `:de_en` translates the other
way.
"""

from ml_collections import ConfigDict

from library import presets

# The language that is read, and the language that is written.
VARIANTS = {"en_de": ("en", "de"), "de_en": ("de", "en")}


def get_config(variant: str = "en_de") -> ConfigDict:
    source, target = VARIANTS[variant]
    config = presets.multi30k(source, target, every="10%")
    config.model = dict(name="seq2seq.sutskever", width=256, depth=2, embedding=256, dropout=0.3)
    config.task = dict(name="translation", inputs=[source, target], beams=5, length_penalty=1.0)
    config.optimizer = dict(
        name="adam",
        learning_rate=1e-3,
        clip=dict(global_norm=5.0),
        schedule=dict(name="cosine", warmup="200 steps"),
    )
    config.total = "6000 steps"
    return config
