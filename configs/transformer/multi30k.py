"""Translation of captions by a small Transformer (Multi30k).

System:    Transformer (Vaswani et al. 2017, arXiv 1706.03762): translate text
Command:   python -m experiments.prepare --dataset=multi30k
           python -m experiments.train --config=configs/transformer/multi30k.py:tiny
Hardware:  two CPU cores, several hours; an accelerator, minutes
Expected:  no result is claimed: the source's 41.02 counts tokens of its own preprocessing; the aim
           is a BLEU of 36 or more, cased, on text that is not tokenized
Source:    Vaswani et al. 2017, "Attention is all you need"; Wu, Kong, Bi, Li & Wong 2021
           (arXiv 2105.14462) for the tiny size and its recipe on Multi30k

`:tiny` has 4 + 4 blocks of width 128, dropout 0.3, label smoothing 0.1, a peak rate of 0.005 after
2,000 steps of warm-up, and some 4,000 tokens of each language a step. The mean of the last ten
checkpoints translates, by a beam search of five. `:pre` normalizes before each half of a block,
`:base` has the size of the paper, and `:de_en` translates the other way.
"""

from ml_collections import ConfigDict

from library import presets

TINY = dict(name="transformer.tiny")
# Model, peak rate, the language that is read, and the language that is written.
VARIANTS = {
    "tiny": (TINY, 5e-3, "en", "de"),
    "de_en": (TINY, 5e-3, "de", "en"),
    "pre": (dict(TINY, norm="pre"), 5e-3, "en", "de"),
    "base": (dict(name="transformer.base", dropout=0.3), 7e-4, "en", "de"),
}


def get_config(variant: str = "tiny") -> ConfigDict:
    model, rate, source, target = VARIANTS[variant]
    config = presets.multi30k(source, target, every="10%", vocab_size=10_000, batch_size=256)
    config.model = dict(model)
    config.task = dict(
        name="translation",
        inputs=[source, target],
        label_smoothing=0.1,
        beams=5,
        length_penalty=1.0,
    )
    config.optimizer = dict(
        name="adam",
        learning_rate=rate,
        b2=0.98,
        eps=1e-9,
        schedule=dict(name="rsqrt", warmup="2000 steps", timescale="2000 steps"),
    )
    # The mean of the last ten checkpoints, one every 200 steps.
    config.ema = dict(since=6000, every=200)
    config.evaluate.translated.ema = "only"
    config.total = "8000 steps"
    return config
