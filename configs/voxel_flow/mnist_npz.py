"""Deep voxel flow makes the frame between two frames of gliding digits.

System:    Deep voxel flow (Liu et al. 2017, arXiv 1702.02463): make frames between frames
Command:   python -m experiments.prepare --dataset=mnist_npz
           python -m experiments.train --config=configs/voxel_flow/mnist_npz.py:cpu
Hardware:  any; two CPU cores for :cpu, about an hour; `:smoke` is a narrow network on noise
Expected:  no result is claimed: the paper measures films. test/psnr is expected above
           test/input_psnr, that of the mean of the two frames.
Source:    Liu et al. 2017, section 3: Adam with a rate of 0.0001, batches of 32, an L1 loss with
           penalties on the variation of the motion (0.01) and of the share (0.005)

Two digits of MNIST glide over a dark canvas of 48 pixels, each at its own speed of up to eight
pixels a frame. The frame between is known, so the network learns from it. The penalties are left
out.
"""

from ml_collections import ConfigDict

from library import presets

# Width, batch, length, learning rate.
VARIANTS = {
    "full": (64, 32, "100000 steps", 1e-4),
    "cpu": (16, 16, "6000 steps", 1e-3),
    "smoke": (2, 8, "3 steps", 1e-3),
}


def get_config(variant: str = "full") -> ConfigDict:
    width, batch_size, total, rate = VARIANTS[variant]
    config = ConfigDict()
    digits = dict(name="mnist_npz", train="train", test="test[:1000]")
    config.dataset = dict(sources=dict(first=digits, second=dict(digits)), pairing="own")
    config.dataset.update(batch_size=batch_size, eval_batch_size=50)
    config.preprocess = [
        dict(name="decode", channels=1),
        dict(name="select", keys=["first_image", "second_image"]),
        dict(name="glide", size=48, reach=8),
    ]
    config.model = dict(name="voxel_flow", width=width, reach=12)
    config.task = dict(name="restoration", inputs=["before", "after"], loss="l1")
    config.optimizer = dict(name="adam", learning_rate=rate, schedule=dict(name="cosine"))
    config.total = total
    config.evaluate = dict(
        test=dict(kind="metrics", every="10%"),
        shown=dict(kind="cases", output="triplet", score="psnr", mode="max", every="100%"),
    )
    config.checkpoint = dict(every="10%", best="test/psnr")
    config.log_every = "1%"
    config.seed = 0
    if variant == "smoke":
        presets.shrink(config, "synthetic/16x10x1")
        config.preprocess = [dict(name="select", keys=["image"])]
        config.preprocess += [dict(name="glide", size=24, reach=4)]
    return config
