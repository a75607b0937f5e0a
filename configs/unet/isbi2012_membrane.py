"""U-Net on the membranes of ISBI 2012: which pixel is membrane, and which is cell.

System:    U-Net (Ronneberger et al. 2015, arXiv 1505.04597): segment images
Command:   python -m experiments.prepare --dataset=isbi2012_membrane
           python -m experiments.train --config=configs/unet/isbi2012_membrane.py:cpu
Hardware:  :paper an accelerator of 16 GB; :cpu two CPU cores
Expected:  no result is claimed: the challenge judges slices that are not public, by other measures
Source:    Ronneberger et al. 2015, "U-Net: Convolutional Networks for Biomedical Image
           Segmentation" (arXiv 1505.04597)

The training set of the challenge is split here: 24 slices to train on, the 6 after them to test.
`:paper` has the network of the paper's figure 1, unpadded convolutions over the mirrored image, one
whole image a step, momentum 0.99 and elastic deformations (section 3). The weights that draw
borders between touching cells are left out: the maps here have no cells, but the two classes.
`:cpu` is a narrow network with batch normalization on random squares of 128 pixels.
"""

from ml_collections import ConfigDict

MOVES = [
    dict(name="flip_lr"),
    dict(name="flip_ud"),
    dict(name="quarter_turns"),
    dict(name="elastic", std=10.0),
]
SGD = dict(name="sgd", learning_rate=1e-3, momentum=0.99)
ADAM = dict(name="adam", learning_rate=2e-3, schedule=dict(name="cosine"))
NARROW = dict(widths=[8, 16, 32, 64], normalization="batch", dropout=0.0)

# Model, (batch, side of the squares), optimizer, epochs.
VARIANTS = {
    "paper": (dict(padding="mirror"), (1, None), SGD, 500),
    "cpu": (NARROW, (8, 128), ADAM, 100),
}


def get_config(variant: str = "paper") -> ConfigDict:
    model, (batch_size, side), optimizer, epochs = VARIANTS[variant]
    config = ConfigDict()
    config.dataset = dict(
        name="isbi2012_membrane",
        train="train",
        test="test",
        batch_size=batch_size,
        eval_batch_size=1,
        cache="device",
    )
    config.preprocess = [dict(name="decode", channels=1)]
    squares = [] if side is None else [dict(name="random_crop", size=side)]
    config.augment = [*squares, *map(dict, MOVES)]
    config.normalize = dict(mean=[0.5], std=[0.25])
    config.model = dict(name="unet", **model)
    config.task = dict(name="segmentation")
    config.optimizer = dict(optimizer)
    config.total = f"{epochs} epochs"
    config.evaluate = dict(
        test=dict(kind="metrics", every="10%"),
        shown=dict(kind="samples", output="overlay", split="test", num=4, every="25%"),
    )
    config.checkpoint = dict(every="10%", best="test/mean_iou")
    config.log_every = "20 steps"
    config.seed = 0
    return config
