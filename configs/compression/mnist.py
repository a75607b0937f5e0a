"""LeNet-300-100 on MNIST, pruned to a twelfth of its weights or with low-rank kernels.

System:    Pruning and low rank (Han et al. 2015, arXiv 1506.02626): make networks smaller
Command:   python -m experiments.prepare --dataset=mnist_npz
           python -m experiments.train --config=configs/compression/mnist.py:dense
           python -m experiments.train --config=configs/compression/mnist.py:one_shot
           python -m experiments.train --config=configs/compression/mnist.py:gradual
           python -m experiments.train --config=configs/compression/mnist.py:low_rank
           python -m experiments.compress --workdir=runs/compression-mnist-dense --beside=A,B,C
           (A, B and C: the directories of the three runs after the first)
Hardware:  two CPU cores, a minute each; :smoke is a few hundred steps of :gradual
Expected:  test/accuracy 0.9836 (:dense), 0.9841 (:one_shot, :gradual); reached 0.9834 (:dense),
           0.9780 (:one_shot), 0.9818 (:gradual) and 0.9802 (:low_rank, which claims no result)
Source:    Han, Pool, Tran & Dally 2015, "Learning both weights and connections for efficient neural
           networks", table 1: LeNet-300-100 has an error of 1.64 % with all its 267K params, and of
           1.59 % with 22K of them.

results/compression/mnist.json has accuracy, size and FLOPs of all four networks, of :dense
compressed by `compress` without training, and of the networks of configs/distillation/mnist.py.

:one_shot starts from :dense, prunes before its first step and trains the remaining weights at a
tenth of the learning rate (section 4.1 of the paper). :gradual is Zhu & Gupta 2017, "To prune, or
not to prune": it increases the sparsity during one run. Both keep 22,212 of 266,610 params, the
largest of all kernels together. :low_rank starts from :dense with kernels that are products of rank
32, and trains the factors.

What differs: the paper's threshold is a multiple of the standard deviation of each layer's weights,
and the paper prunes in rounds (section 3.4). The paper does not state the optimizer; it is Adam
with a cosine here.
"""

from ml_collections import ConfigDict

from library import presets

DENSE = "runs/compression-mnist-dense"
SHARED = dict(name="pruning", sparsity=0.9181)
GRADUAL = dict(SHARED, schedule="cubic", begin="2 epochs", end="12 epochs", every="100 steps")
# Task, learning rate, length, whether it starts from :dense, reported accuracy.
VARIANTS = {
    "dense": (dict(name="classification"), 1e-3, "20 epochs", False, 0.9836),
    "one_shot": (dict(SHARED, schedule="one_shot"), 1e-4, "20 epochs", True, 0.9841),
    "gradual": (GRADUAL, 1e-3, "20 epochs", False, 0.9841),
    "low_rank": (dict(name="low_rank", source=DENSE, rank=32), 1e-4, "10 epochs", False, None),
    "smoke": (
        dict(GRADUAL, begin="50 steps", end="250 steps", every="50 steps"),
        *(1e-3, "300 steps", False, None),
    ),
}


def get_config(variant: str = "dense") -> ConfigDict:
    task, learning_rate, total, started, reported = VARIANTS[variant]
    config = presets.in_memory("mnist_npz", batch_size=128)
    config.preprocess = [dict(name="decode", channels=1)]
    config.model = dict(name="mlp", num_classes=10, hidden=[300, 100])
    config.task = task
    config.optimizer = dict(name="adam", learning_rate=learning_rate, schedule=dict(name="cosine"))
    config.total = total
    if started:
        config.init_from = dict(workdir=DENSE)
    config.evaluate = dict(test=dict(kind="metrics", every="5%"))
    config.checkpoint = dict(every="25%")
    if reported is not None:
        config.reported = dict(
            metric="test/accuracy", value=reported, source="Han et al. 2015, table 1"
        )
    return config
