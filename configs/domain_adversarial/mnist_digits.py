"""Adaptation from MNIST to the unlabelled digits of scikit-learn, by domain-adversarial features.

System:    Domain-adversarial training (Ganin & Lempitsky 2014, arXiv 1409.7495): classify images of
           another domain
Command:   python -m experiments.prepare --dataset=mnist_npz
           python -m experiments.train --config=configs/domain_adversarial/mnist_digits.py
Hardware:  two CPU cores
Expected:  no result is claimed
Source:    Ganin & Lempitsky 2015, "Unsupervised Domain Adaptation by Backpropagation" (arXiv
           1409.7495), which uses other pairs of datasets

The digits of scikit-learn have 8x8 pixels; they are resized to the size of MNIST. For comparison,
:source_only learns only from MNIST.
"""

from ml_collections import ConfigDict

# Strength of the reversed gradient.
VARIANTS = {"adversarial": 1.0, "source_only": 0.0}


def get_config(variant: str = "adversarial") -> ConfigDict:
    config = ConfigDict()
    config.dataset = dict(
        sources=dict(
            source=dict(
                name="mnist_npz", train="train", preprocess=[dict(name="decode", channels=1)]
            ),
            target=dict(
                name="digits",
                preprocess=[dict(name="decode", channels=1), dict(name="resize", size=28)],
            ),
        ),
        pairing="own",
        batch_size=64,
        eval_batch_size=256,
    )
    config.preprocess = []
    config.normalize = dict(mean=[0.1307], std=[0.3081])
    config.model = dict(name="domain_adversarial")
    config.task = dict(name="domain_adaptation", strength=VARIANTS[variant])
    config.optimizer = dict(name="sgd", learning_rate=0.01, momentum=0.9)
    config.total = "2 epochs"
    config.evaluate = dict(test=dict(kind="metrics", every="25%"))
    config.checkpoint = dict(every="25%")
    config.log_every = "100 steps"
    config.seed = 0
    return config
