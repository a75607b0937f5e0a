"""Character-level recurrent networks on Tiny Shakespeare: LSTM and GRU.

System:    Character-level LSTM and GRU (Karpathy 2015, "The unreasonable effectiveness of recurrent
           neural networks"): write text
Command:   python -m experiments.prepare --dataset=tinyshakespeare
           python -m experiments.train --config=configs/char_rnn/tinyshakespeare.py:lstm_cpu
Hardware:  two CPU cores: about 7 minutes for :lstm_cpu and :gru_cpu; a GPU for the others
Expected:  test/loss 1.63 nats per character (:lstm_cpu), 1.52 (:gru_cpu); char-rnn publishes no
           validation loss
Source:    Karpathy 2015, "The unreasonable effectiveness of recurrent neural networks", and the
           defaults of its char-rnn (Adam instead of RMSprop, and a cosine instead of steps);
           Hochreiter & Schmidhuber 1997 for the LSTM, Cho et al. 2014 for the GRU.

Training is truncated backpropagation through time. A batch reads 50 streams of text in parallel, 50
characters per step, and each step continues from the state of the step before.
"""

from ml_collections import ConfigDict

from library import presets

# Cell, units per layer, layers, dropout, epochs.
VARIANTS = {
    "lstm_cpu": ("lstm", 128, 2, 0.0, 20),
    "gru_cpu": ("gru", 128, 2, 0.0, 20),
    "lstm": ("lstm", 512, 3, 0.5, 50),
    "gru": ("gru", 512, 3, 0.5, 50),
}


def get_config(variant: str = "lstm_cpu") -> ConfigDict:
    cell, width, depth, dropout, epochs = VARIANTS[variant]
    config = presets.text(
        "tinyshakespeare",
        every="10%",
        prompt="ROMEO:\n",
        samples_every="20%",
        tokenizer=dict(name="character"),
        context=50,
        order="streams",
        batch_size=50,
        eval_context=1000,
        eval_batch_size=56,
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
