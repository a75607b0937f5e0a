"""A small EDSR for clean and damaged images of your own.

System:    EDSR (Lim et al. 2017, arXiv 1707.02921): enlarge photographs
Command:   python -m experiments.train --config=configs/edsr/pairs_folder.py \\
               --config.dataset.data_dir=pairs --config.model.scale=2
Hardware:  any; a small accelerator for more than a few hundred images
Expected:  no result is claimed: it depends on your images
Source:    Lim et al. 2017, "Enhanced Deep Residual Networks for Single Image Super-Resolution"

The folder has `clean/` and `damaged/`, with images of the same names, see
library/data/pairs_folder.py. `model.scale` says how many times as large the clean images are: 1 for
noise or blur, or 2, 3 or 4. Training and tests see squares of 144 pixels of the clean images. A
tenth of the images is for the tests. The network has eight blocks of 32 channels, and adds to the
damaged image or to its bicubic enlargement.
"""

from ml_collections import ConfigDict

# Each scale from 1 to 4 divides it.
SIDE = 144


def get_config(variant: str = "") -> ConfigDict:
    config = ConfigDict()
    config.dataset = dict(
        name="pairs_folder",
        data_dir="pairs",
        train="train[:90%]",
        test="train[90%:]",
        batch_size=16,
        eval_batch_size=8,
    )
    config.preprocess = dict(
        train=[dict(name="decode"), dict(name="random_crop", size=SIDE)],
        test=[dict(name="decode"), dict(name="center_crop", size=SIDE)],
    )
    config.augment = [dict(name="flip_lr"), dict(name="quarter_turns")]
    config.model = dict(name="edsr.edsr_small", scale=2)
    config.task = dict(name="restoration", inputs=["damaged"], loss="l1")
    config.optimizer = dict(name="adam", learning_rate=1e-3, schedule=dict(name="cosine"))
    config.total = "20000 steps"
    shown = dict(kind="cases", output="triplet", score="psnr", mode="max", num=2)
    config.evaluate = dict(
        test=dict(kind="metrics", every="10%"), shown=dict(every="50%", split="test", **shown)
    )
    config.checkpoint = dict(every="10%", best="test/psnr")
    config.log_every = "1%"
    config.seed = 0
    return config
