"""Adversarial training on MNIST: a classifier that is robust to changes of 0.3 in each pixel.

System:    Adversarial training (Madry et al. 2017, arXiv 1706.06083): classify images that an
           adversary has changed
Command:   python -m experiments.prepare --dataset=mnist_npz
           python -m experiments.train --config=configs/adversarial_training/mnist.py:cpu
           python -m experiments.train --config=configs/adversarial_training/mnist.py:pgd
           python -m experiments.train --config=configs/adversarial_training/mnist.py:standard
Hardware:  one CPU core for :cpu and :standard_cpu, 36 and 20 minutes, mostly for the test with 40
           steps; one GPU for :pgd and :standard (not run here)
Expected:  pgd/accuracy 0.932 and test/accuracy 0.988 (:pgd), test/accuracy 0.992 and fgsm/accuracy
           0.064 (:standard). Reached: pgd/accuracy 0.815, fgsm/accuracy 0.873 and test/accuracy
           0.974 (:cpu); 0.0, 0.023 and 0.990 (:standard_cpu)
Source:    Madry, Makelov, Schmidt, Tsipras & Vladu 2018, "Towards deep learning models resistant to
           adversarial attacks", table 1: the network trained against 40 steps of 0.01 has 98.8 % on
           the test images, 95.6 % under FGSM, 93.2 % under the same 40 steps, and 89.3 % under the
           worst of 20 times 100 steps; section 5: the same network with standard training has 99.2
           %, and 6.4 % under FGSM. MadryLab/mnist_challenge, config.json, train.py: 100,000 steps
           of 50 images, Adam with a rate of 1e-4.

The attack uses the gradients of the network and starts at a random point of the cube. What differs:
this recipe trains on all 60,000 training images of MNIST (the original holds 5,000 back), and an
epoch has each image once. `:cpu` and `:standard_cpu` have half the width. `:cpu` trains against
five larger steps. Their changes grow during the first two of its five epochs: without this,
accuracy stays at chance for longer than five epochs. The same 40 steps test both.
"""

from ml_collections import ConfigDict

from library import presets

SMALL = dict(widths=[16, 32], hidden=128)
TESTED = dict(name="pgd", epsilon=0.3, steps=40, step_size=0.01)
FEW = dict(name="pgd", epsilon=0.3, steps=5, step_size=0.1)
LONG = dict(
    batch_size=50,
    learning_rate=1e-4,
    schedule="constant",
    total="100000 steps",
    every="5000 steps",
    warmup_epochs=0.0,
)
SHORT = dict(
    batch_size=100,
    learning_rate=1e-3,
    schedule="cosine",
    total="5 epochs",
    every="1 epoch",
    warmup_epochs=2.0,
)
# Network, adversary of the training, settings of the training; reported metric and its value.
VARIANTS = {
    "pgd": (dict(), TESTED, LONG, ("pgd/accuracy", 0.932, "table 1")),
    "standard": (dict(), None, LONG, ("test/accuracy", 0.992, "section 5")),
    "cpu": (SMALL, FEW, SHORT, None),
    "standard_cpu": (SMALL, None, SHORT, None),
    "smoke": (SMALL, FEW, dict(SHORT, total="4 steps"), None),
}


def get_config(variant: str = "pgd") -> ConfigDict:
    network, adversary, training, reported = VARIANTS[variant]
    config = presets.in_memory("mnist_npz", batch_size=training["batch_size"], eval_batch_size=500)
    config.preprocess = [dict(name="decode", channels=1)]
    config.model = dict(name="madry", num_classes=10, **network)
    config.task = dict(name="classification")
    if adversary is not None:
        config.task = dict(
            name="adversarial_training",
            adversary=adversary,
            warmup_epochs=training["warmup_epochs"],
        )
    config.optimizer = dict(
        name="adam",
        learning_rate=training["learning_rate"],
        schedule=dict(name=training["schedule"]),
    )
    config.total = training["total"]
    config.evaluate = dict(
        test=dict(kind="metrics", every=training["every"]),
        fgsm=dict(
            kind="robust_accuracy",
            adversary=dict(name="fgsm", epsilon=0.3),
            every=training["every"],
        ),
        pgd=dict(kind="robust_accuracy", adversary=TESTED, every="100%"),
    )
    config.checkpoint = dict(every=training["every"])
    if reported is not None:
        metric, value, place = reported
        config.reported = dict(metric=metric, value=value, source=f"Madry et al. 2018, {place}")
    if variant == "smoke":
        config.dataset.update(name="synthetic/28x10x1", train="train[:200]", test="test[:100]")
        config.dataset.eval_batch_size = 40
        config.evaluate.pgd.adversary.steps = 2
        config.checkpoint = dict(every="100%")
    return config
