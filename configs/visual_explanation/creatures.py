"""Sentences about drawn creatures that tell their species, with a discriminative loss or none.

System:    GVE (Hendricks et al. 2016, "Generating visual explanations"): describe images
Command:   python -m experiments.prepare --dataset=creatures
           python -m experiments.train --config=configs/visual_explanation/creatures.py:telling
Hardware:  one CPU core: four minutes, or one for :relevance
Expected:  no result is claimed
Source:    Hendricks et al. 2016, arXiv 1603.08507; the creatures and all settings are ours

Two species share each colour, and one attribute tells them apart. People name it in 3 of 8
sentences. `test_words/named` and `drawn_words/named` say how often the network names it, in its
likeliest sentence and in those that it draws; `false` says how often a sentence is false.
"""

from ml_collections import ConfigDict

# Weight of the discriminative loss.
VARIANTS = {"telling": 20.0, "relevance": 0.0}
# What tells each species apart, and all that is true of it, in the order of its classes.
TELLING = ["round", "pointed", "long", "short", "two", "four", "spotted", "plain"]
SHARED = [
    *[["red", "long", "two", "plain"]] * 2,
    *[["blue", "pointed", "four", "spotted"]] * 2,
    *[["green", "round", "short", "spotted"]] * 2,
    *[["yellow", "pointed", "long", "four"]] * 2,
]


def get_config(variant: str = "telling") -> ConfigDict:
    config = ConfigDict()
    config.dataset = dict(
        name="creatures",
        train="train",
        test="test",
        batch_size=64,
        eval_batch_size=100,
        cache="device",
    )
    config.preprocess = [
        dict(name="decode"),
        dict(name="tokenize", keys=["caption"], tokenizer=dict(name="word")),
        dict(name="pad_series", length=12),
    ]
    config.splits = dict(held_out=dict(split="validation"))
    config.normalize = dict(mean=[0.5] * 3, std=[0.5] * 3)
    config.model = dict(
        judge=dict(name="rnn.lstm", width=64), explainer=dict(name="explainer", width=64)
    )
    config.task = dict(
        name="visual_explanation", inputs=["image", "caption"], discriminative=VARIANTS[variant]
    )
    adam = dict(name="adam", learning_rate=2e-3, clip=dict(global_norm=5.0))
    config.optimizer = dict(judge=dict(adam), explainer=dict(adam))
    config.total = "30 epochs"
    words = dict(
        kind="distinguishing_words",
        telling=[[word] for word in TELLING],
        true=[[word, *shared] for word, shared in zip(TELLING, SHARED)],
        every="100%",
    )
    config.evaluate = dict(
        validation=dict(kind="metrics", split="held_out", every="10%"),
        validation_words=dict(split="held_out", **words),
        test=dict(kind="metrics", every="100%"),
        test_words=dict(words),
        drawn_words=dict(output="drawn", **words),
    )
    config.checkpoint = dict(every="50%")
    config.log_every = "50 steps"
    config.seed = 0
    return config
