"""Character-level recurrent networks on Don Quijote, in Spanish: LSTM and GRU.

System:    Character-level LSTM and GRU (Karpathy 2015, "The unreasonable effectiveness of recurrent
           neural networks"): write text
Command:   python -m experiments.prepare --dataset=quijote
           python -m experiments.train --config=configs/char_rnn/quijote.py:cpu
Hardware:  one CPU core: 4 minutes for :cpu, an LSTM, and for :gru_cpu; a GPU for :large
Expected:  Spanish words and phrases of Cervantes in the samples; no loss is published (reached:
           1.480 nats per character of the test split by :cpu, 1.307 by :gru_cpu)
Source:    Karpathy 2015, "The unreasonable effectiveness of recurrent neural networks": char-rnn,
           here on another text; Hochreiter & Schmidhuber 1997 for the LSTM, Cho et al. 2014 for the
           GRU.

Two characters of the test split ("ù") do not occur in the training split. They count in the loss,
as a token for unknown characters.
"""

from ml_collections import ConfigDict

from library import presets

# Cell, units per layer, layers, dropout, epochs.
VARIANTS = {
    "cpu": ("lstm", 128, 2, 0.0, 10),
    "gru_cpu": ("gru", 128, 2, 0.0, 10),
    "large": ("lstm", 512, 3, 0.5, 30),
}


def get_config(variant: str = "cpu") -> ConfigDict:
    cell, width, depth, dropout, epochs = VARIANTS[variant]
    config = presets.text(
        "quijote",
        every="10%",
        prompt="Respondió don Quijote:\n",
        samples_every="20%",
        tokenizer=dict(name="character", unknown="\ufffd"),
        context=50,
        order="streams",
        batch_size=50,
        eval_context=1000,
        eval_batch_size=104,
        cache="device",
    )
    config.model = dict(name=f"recurrent.{cell}", width=width, depth=depth, dropout=dropout)
    config.task = dict(name="language")
    config.optimizer = dict(
        name="adam",
        learning_rate=2e-3,
        schedule=dict(name="cosine"),
        clip=dict(value=5.0),
    )
    config.total = f"{epochs} epochs"
    return config
