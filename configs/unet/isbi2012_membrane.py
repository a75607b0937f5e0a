"""U-Net on the membranes of ISBI 2012: each pixel is membrane or cell.

System:    U-Net (Ronneberger et al. 2015, arXiv 1505.04597): segment images
Command:   python -m experiments.prepare --dataset=isbi2012_membrane
           python -m experiments.train --config=configs/unet/isbi2012_membrane.py:cpu
Hardware:  one accelerator of 16 GB for :paper; two CPU cores for :cpu
Expected:  no result is claimed: the challenge uses slices that are not public, and other metrics
Source:    Ronneberger et al. 2015, "U-Net: Convolutional Networks for Biomedical Image
           Segmentation" (arXiv 1505.04597)

This recipe splits the training set of the challenge: it trains on 24 slices and tests on the 6
after them. `:paper` has the network of the paper's figure 1, with unpadded convolutions over the
mirrored image, one whole image per step, momentum 0.99, elastic deformations, and weights that are
high on borders between touching cells and balance the two classes (section 3). A cell is a
connected region here: the maps have only the two classes. `:cpu` is a narrow network with batch
normalization, on random squares of 128 pixels.
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

# 77.5 % of the training pixels are cells: by these weights both classes weigh the same.
BORDERS = dict(name="border_weights", w0=10.0, sigma=5.0, cell=1, balance=[2.218, 0.646])

# Model, (batch, side of the squares), weights of pixels, optimizer, epochs.
VARIANTS = {
    "paper": (dict(padding="mirror"), (1, None), [BORDERS], SGD, 500),
    "cpu": (NARROW, (8, 128), [], ADAM, 100),
}


def get_config(variant: str = "paper") -> ConfigDict:
    model, (batch_size, side), weights, optimizer, epochs = VARIANTS[variant]
    config = ConfigDict()
    config.dataset = dict(
        name="isbi2012_membrane",
        train="train",
        test="test",
        batch_size=batch_size,
        eval_batch_size=1,
        cache="device",
    )
    config.preprocess = [dict(name="decode", channels=1), *map(dict, weights)]
    squares = [] if side is None else [dict(name="random_crop", size=side)]
    config.augment = [*squares, *map(dict, MOVES)]
    config.normalize = dict(mean=[0.5], std=[0.25])
    config.model = dict(name="unet", **model)
    config.task = dict(name="segmentation")
    if weights:
        config.task.weight = "map_weights"
    config.optimizer = dict(optimizer)
    config.total = f"{epochs} epochs"
    config.evaluate = dict(
        test=dict(kind="metrics", every="10%"),
        cells=dict(kind="membranes", every="50%"),
        cases=dict(kind="cases", score="mean_iou", mode="max", num=1, every="50%"),
    )
    config.checkpoint = dict(every="10%", best="test/mean_iou")
    config.log_every = "20 steps"
    config.seed = 0
    return config
