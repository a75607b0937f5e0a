"""A small modern GPT on articles of WikiText-2: byte pairs, rotary positions, shared keys.

System:    GPT (Radford et al. 2019, "Language models are unsupervised multitask learners"): write
           text
Command:   python -m experiments.prepare --dataset=wikitext2
           python -m experiments.train --config=configs/gpt/wikitext2.py:cpu
Hardware:  one CPU core: 6 minutes
Expected:  sentences in the style of Wikipedia, test/loss 3.97 nats per token; no such loss is
           published: published models train on the training split, ten times as much text, which is
           not available here, and count words
Source:    Merity et al. 2017, "Pointer sentinel mixture models", for the text; Radford et al. 2019
           for the blocks; Sennrich, Haddow & Birch 2016 for byte-pair encoding; Su et al. 2021 for
           rotary positions; Ainslie et al. 2023 for keys and values that two heads share.

The network trains on the 60 articles of the validation split, and is evaluated on the 60 articles
of the test split. Articles are packed into windows, and each is modelled as if it were alone. As
larger models need it to fit into memory, the blocks run as one loop that stores only the products
with weights, and the loss is computed over one part of the vocabulary at a time.
"""

from ml_collections import ConfigDict

from library import presets

# Vocabulary, model, windows per step, steps.
VARIANTS = {
    "cpu": (2048, dict(width=128, depth=4, num_heads=4, num_kv_heads=2, dropout=0.2), 16, 1500),
}


def get_config(variant: str = "cpu") -> ConfigDict:
    vocab_size, model, batch_size, steps = VARIANTS[variant]
    config = presets.text(
        "wikitext2",
        every="20%",
        prompt=[" \n = The ", "In the summer of"],
        length=128,
        train="validation",
        tokenizer=dict(name="bpe", vocab_size=vocab_size),
        context=128,
        batch_size=batch_size,
        eval_batch_size=64,
    )
    config.model = dict(
        name="gpt",
        context=128,
        positions="rotary",
        bias=False,
        scan_layers=True,
        remat="dots",
        **model,
    )
    config.task = dict(name="language", chunk=512)
    schedule = dict(name="linear", warmup="100 steps")
    config.optimizer = presets.nanogpt_adamw(2e-3, schedule, b2=0.99)
    config.total = f"{steps} steps"
    return config
