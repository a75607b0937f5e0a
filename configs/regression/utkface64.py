"""The age of a face, in years, by a small convolutional network with a bounded output.

System:    Regression with a bounded output (Bishop 2006, "Pattern recognition and machine
           learning", section 4.3.6): measure a number in an image
Command:   python -m experiments.prepare --dataset=utkface64
           python -m experiments.train --config=configs/regression/utkface64.py
Hardware:  two CPU cores
Expected:  no result is recorded yet; the aim is test/mae 9.0 years or less
Source:    floors on the same 400 test faces: 13.5 (the median age for everyone), 10.1 (ridge
           regression on principal components), 9.5 (a support vector machine)

The prediction is 116 sigmoid(z) years, as the oldest person of UTKFace is 116. The loss is the
absolute error, in units of 10 years. The 3,200 faces of training are flipped, moved, turned by up
to 15 degrees and changed in colour. The evaluation "age" draws the error by the true age.
"""

from ml_collections import ConfigDict

from library import presets


def get_config(variant: str = "") -> ConfigDict:
    config = presets.in_memory("utkface64", batch_size=64, eval_batch_size=200)
    config.preprocess = [
        dict(name="decode"),
        dict(name="select", keys=["image", "target"]),
        dict(name="to_target", key="target"),
    ]
    config.augment = [
        dict(name="flip_lr"),
        dict(name="random_crop", padding=4, mode="reflect"),
        dict(name="affine", degrees=15.0, scale=[0.9, 1.1]),
        dict(name="color_jitter", brightness=0.3, contrast=0.3, saturation=0.3),
    ]
    config.normalize = dict(mean=[0.5], std=[0.25])
    config.model = dict(name="cnn.small", num_classes=1, widths=[16, 32, 64, 128], dropout=0.2)
    config.task = dict(
        name="regression", loss="mae", bounds=[0.0, 116.0], target_mean=[33.0], target_scale=[10.0]
    )
    config.optimizer = dict(
        name="adamw",
        learning_rate=2e-3,
        weight_decay=0.05,
        schedule=dict(name="cosine", warmup="2 epochs"),
    )
    config.total = "60 epochs"
    edges = [0.0, 5.0, 15.0, 25.0, 35.0, 45.0, 55.0, 65.0, 75.0, 116.0]
    config.evaluate = dict(
        test=dict(kind="metrics", every="5%"),
        age=dict(kind="error_by_value", edges=edges, every="25%"),
    )
    config.checkpoint = dict(every="10%")
    config.log_every = "50 steps"
    return config
