"""A character-level LSTM on Don Quijote, in Spanish.

Command:   python -m experiments.prepare --dataset=quijote
           python -m experiments.train --config=configs/quijote/char_rnn.py:cpu
Hardware:  two CPU cores: about 7 minutes for :cpu; a GPU for :large
Expected:  Spanish words and Cervantes' turns of phrase in the samples; nobody reports a loss
           (reached: 1.481 nats a character of the test split)
Source:    Karpathy 2015, "The unreasonable effectiveness of recurrent neural networks": char-rnn,
           here on another book; Hochreiter & Schmidhuber 1997 for the LSTM.

Two characters of the test split ("ù") do not occur in the training split; they count, as one token
that stands for all such.
"""

from ml_collections import ConfigDict

# Units a layer, layers, dropout, epochs.
VARIANTS = {
    "cpu": (128, 2, 0.0, 10),
    "large": (512, 3, 0.5, 30),
}


def get_config(variant: str = "cpu") -> ConfigDict:
    width, depth, dropout, epochs = VARIANTS[variant]
    config = ConfigDict()
    config.dataset = dict(
        name="quijote",
        train="train",
        test="test",
        tokenizer=dict(name="character", unknown="\ufffd"),
        context=50,
        order="streams",
        batch_size=50,
        eval_context=1000,
        eval_batch_size=104,
        cache="device",
    )
    config.preprocess = []
    config.model = dict(name="recurrent.lstm", width=width, depth=depth, dropout=dropout)
    config.task = dict(name="language")
    config.optimizer = dict(
        name="adam",
        learning_rate=2e-3,
        schedule=dict(name="cosine"),
        clip=dict(value=5.0),
    )
    config.total = f"{epochs} epochs"
    prompt = "Respondió don Quijote:\n"
    config.evaluate = dict(
        test=dict(kind="metrics", every="10%"),
        samples=dict(kind="samples.text", prompt=prompt, num=4, length=400, every="20%"),
    )
    config.checkpoint = dict(every="10%", best="test/loss", mode="min")
    config.log_every = "100 steps"
    config.seed = 0
    return config
