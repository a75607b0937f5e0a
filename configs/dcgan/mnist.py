"""Generative adversarial networks on MNIST: DCGAN, plain or conditional; penalties; perceptrons.

System:    DCGAN (Radford et al. 2015, arXiv 1511.06434): make images
Command:   python -m experiments.prepare --dataset=mnist_npz
           python -m experiments.train --config=configs/lenet5/mnist.py:linear --workdir=runs/lenet5
           python -m experiments.train --config=configs/dcgan/mnist.py:conditional_cpu
Hardware:  one CPU core: 7 minutes for :cpu, 12 for :conditional_cpu; one GPU for the others (not
           run here)
Expected:  coverage_ema/classes_covered 10 (:cpu); coverage_ema/class_accuracy 0.95 or more
           (:conditional_cpu, 0.987 reached), the share of samples that the classifier reads as the
           requested digit; fidelity_ema/frechet_classifier_distance 12.8 (:cpu), 0.80
           (:conditional_cpu)
Source:    Radford et al. 2016, "Unsupervised Representation Learning with Deep Convolutional
           Generative Adversarial Networks", section 4: Adam with rate 2e-4 and beta1 0.5, batches
           of 128. Mirza & Osindero 2014 (conditional), Gulrajani et al. 2017 (wgan_gp: five updates
           of the critic, rate 1e-4, betas 0 and 0.9, weight 10), Mescheder et al. 2018 (r1: weight
           10), Goodfellow et al. 2014 (perceptrons). None of them reports such a metric on MNIST.

The latents of DCGAN are uniform in [-1, 1], as in :full, :conditional and :saturating. The other
variants have normal latents, as in PyTorch's example. All have the 4x4 kernels of that example (the
authors use 5x5).

Goodfellow et al. 2014 print no values. :perceptrons has the networks, the dropout and the uniform
latents of their program. It does not have the program's range of latents (the square root of 3),
the bias of the output (the marginals of the images), the factor of a half in the discriminator's
loss, the training set of the first 50,000 images, and the optimizer. That optimizer is SGD on
batches of 100, with a rate of 0.1 that is divided by 1.000004 at each step down to 1e-6, and a
momentum from 0.5 to 0.7 over 250 epochs.

The second command trains the LeNet-5 in runs/lenet5, which evaluates the samples. `coverage` counts
the digits that it recognizes. `fidelity` compares its 84 features of 10,000 samples and of the test
images: precision, recall, density, coverage and frechet_classifier_distance, once at the end, with
the running averages of the params if there are any. To use another classifier, set
--config.evaluate.coverage.classifier and --config.evaluate.fidelity.classifier.
"""

from ml_collections import ConfigDict

from library import presets

DCGAN = dict(generator=dict(name="dcgan.generator"), discriminator=dict(name="dcgan.discriminator"))
UNNORMALIZED = dict(DCGAN, discriminator=dict(name="dcgan.discriminator", norm="none"))
SMALL = {player: dict(spec, width=32) for player, spec in DCGAN.items()}
PERCEPTRONS = dict(
    generator=dict(name="gan.generator"), discriminator=dict(name="gan.discriminator")
)
EMA = dict(decay=0.999, warmup=True)
BAR = "the bar this recipe is held to"
# Defaults of the variants.
BASE = dict(
    model=DCGAN,
    task=dict(loss="non_saturating"),
    optimizer=dict(learning_rate=2e-4, b1=0.5, b2=0.999),
    updates=1,
    batch_size=128,
    total="25 epochs",
    ema=None,
    reported=None,
)
VARIANTS = {
    "cpu": dict(
        model=SMALL,
        batch_size=64,
        total="8 epochs",
        ema=EMA,
        reported=dict(metric="coverage_ema/classes_covered", value=10.0, source=BAR),
    ),
    "conditional_cpu": dict(
        model=SMALL,
        task=dict(conditional=True),
        batch_size=64,
        total="12 epochs",
        ema=EMA,
        reported=dict(metric="coverage_ema/class_accuracy", value=0.95, source=BAR),
    ),
    "full": dict(task=dict(latent="uniform")),
    "conditional": dict(task=dict(conditional=True, latent="uniform")),
    "saturating": dict(task=dict(loss="saturating", latent="uniform")),
    "wgan_gp": dict(
        model=UNNORMALIZED,
        task=dict(loss="wasserstein", penalty="interpolates", penalty_weight=10.0),
        optimizer=dict(learning_rate=1e-4, b1=0.0, b2=0.9),
        updates=5,
        batch_size=5 * 64,
        total="200 epochs",
    ),
    "r1": dict(model=UNNORMALIZED, task=dict(penalty="r1", penalty_weight=10.0)),
    "perceptrons": dict(model=PERCEPTRONS, task=dict(latent="uniform"), total="100 epochs"),
}


def get_config(variant: str = "cpu") -> ConfigDict:
    chosen = BASE | VARIANTS[variant]
    config = presets.in_memory("mnist_npz", batch_size=chosen["batch_size"], eval_batch_size=500)
    config.preprocess = [dict(name="decode", channels=1)]
    config.model = chosen["model"]
    config.task = dict(name="gan", latent_size=100, **chosen["task"])
    adam = dict(name="adam", **chosen["optimizer"])
    config.optimizer = dict(
        discriminator=dict(adam, updates=chosen["updates"]), generator=dict(adam)
    )
    config.ema = chosen["ema"]
    config.total = chosen["total"]
    config.evaluate = dict(
        test=dict(kind="metrics", every="25%"),
        samples=dict(kind="samples", every="5%"),
        coverage=dict(
            kind="mode_coverage",
            classifier="runs/lenet5",
            conditional=chosen["task"].get("conditional", False),
            every="12.5%",
        ),
        fidelity=dict(
            kind="precision_recall",
            classifier="runs/lenet5",
            num=10_000,
            ema="only" if chosen["ema"] else "beside",
            every="100%",
        ),
    )
    if chosen["reported"]:
        config.reported = chosen["reported"]
    config.checkpoint = dict(every="25%")
    return config
