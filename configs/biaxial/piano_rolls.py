"""The biaxial LSTM that composes chorales, note by note along time and along pitch.

System:    Biaxial LSTM (Johnson 2017, "Generating polyphonic music using tied parallel networks"):
           compose music
Command:   python -m experiments.prepare --dataset=jsb_chorales/jsb
           python -m experiments.train --config=configs/biaxial/piano_rolls.py:jsb
Hardware:  one GPU; `:jsb_cpu` is small enough for two CPU cores
Expected:  no result is claimed
Source:    Johnson 2017, "Generating polyphonic music using tied parallel networks", EvoMUSART,
           section 4.2; the widths of `:jsb` and `:nottingham` are those of his first program.

The pieces have no beats, so the place of a frame is counted from the piece's first frame.
"""

from ml_collections import ConfigDict

from library import presets

# Pieces, units along time, units along notes, pieces a step, epochs.
VARIANTS = {
    "jsb": ("jsb", [300, 300], [100, 50], 8, 100),
    "nottingham": ("nottingham", [300, 300], [100, 50], 8, 100),
    "jsb_cpu": ("jsb", [48], [32], 8, 8),
}


def get_config(variant: str = "jsb") -> ConfigDict:
    name, time, note, batch_size, epochs = VARIANTS[variant]
    config = presets.piano_rolls(name, batch_size)
    # A frame's place counts from the start of a piece, so pieces are not cut elsewhere.
    config.preprocess.train[0]["crop"] = "start"
    dropout = 0.2 if variant == "jsb_cpu" else 0.5
    config.model = dict(name="biaxial", time_widths=time, note_widths=note, dropout=dropout)
    config.optimizer = dict(
        name="adam",
        learning_rate=3e-3,
        clip=dict(global_norm=1.0),
        schedule=dict(name="cosine", warmup="5%"),
    )
    config.total = f"{epochs} epochs"
    return config
