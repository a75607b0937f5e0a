"""PointNet classifies handwritten digits that are given as sets of points.

System:    PointNet (Qi et al. 2017, arXiv 1612.00593): classify point clouds
Command:   python -m experiments.prepare --dataset=mnist_npz
           python -m experiments.train --config=configs/pointnet/mnist.py:cpu
Hardware:  two CPU cores
Expected:  no result is recorded yet; the aim is test/accuracy 0.95 or more
Source:    Qi et al. 2017, "PointNet: Deep learning on point sets for 3D classification and
           segmentation", reports 89.2 % on ModelNet40, which has other objects

Each step draws new points from the ink of its digits (`ink_points`): a place and the brightness
there. The test digits keep theirs. `:cpu` has no T-nets, which the paper calls the baseline or
vanilla, and 128 points. `:transforms` has both T-nets, the penalty of the paper's equation 2 and
256 points; it takes five times as long per epoch.
"""

from ml_collections import ConfigDict

# Model, weight of the penalty, points, epochs.
VARIANTS = {
    "cpu": ("pointnet.vanilla", 0.0, 128, 4),
    "transforms": ("pointnet", 0.001, 256, 10),
}


def get_config(variant: str = "cpu") -> ConfigDict:
    name, penalty, points, epochs = VARIANTS[variant]
    config = ConfigDict()
    config.dataset = dict(
        name="mnist_npz", train="train", test="test", batch_size=64, eval_batch_size=250
    )
    config.preprocess = [
        dict(name="decode", channels=1),
        dict(name="ink_points", num=points, jitter=0.01),
    ]
    config.model = dict(name=name, num_classes=10)
    config.task = dict(name="classification", inputs=["cloud"], penalty_weight=penalty)
    config.optimizer = dict(
        name="adam", learning_rate=1e-3, schedule=dict(name="cosine", warmup="200 steps")
    )
    config.total = f"{epochs} epochs"
    config.evaluate = dict(test=dict(kind="metrics", every="1 epoch"))
    config.checkpoint = dict(every="25%", best="test/accuracy")
    config.log_every = "100 steps"
    config.seed = 0
    return config
