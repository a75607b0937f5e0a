"""SNGAN on CIFAR-10: residual networks, spectral normalization, hinge loss; conditional; WGAN-GP.

System:    SNGAN (Miyato et al. 2018, arXiv 1802.05957): make images
Command:   python -m experiments.prepare --dataset=cifar10
           python -m experiments.train --config=configs/resnet/cifar10.py:resnet18 \\
               --workdir=runs/cifar10_resnet18
           python -m experiments.train --config=configs/sngan/cifar10.py:fid
Hardware:  one GPU (not run here)
Expected:  fid/fid 16.77 (:fid), 10.84 (:conditional_fid) and 22.29 (:wgan_gp_fid), as computed by
           mimicry; inception/inception_score 7.97, 8.25 and 7.33. The SNGAN paper has FID 21.7 and
           an Inception score of 8.22 for :fid
Source:    Miyato et al. 2018, "Spectral Normalization for Generative Adversarial Networks",
           appendix B and table 2: Adam with rate 2e-4, betas 0 and 0.9, batches of 64, five updates
           of the discriminator for each update of the generator, 100k updates of the generator.
           Lee & Town 2020, "Mimicry: Towards the Reproducibility of GAN Research" (arXiv
           2005.02494), and kwotsin/mimicry, README: the same, with a rate that falls linearly to
           zero; FID of 50k samples against the 50k training images, Inception score of 50k samples
           in 10 parts. :conditional_fid is its cGAN-PD, :wgan_gp_fid its WGAN-GP.

This is mimicry's recipe, with bilinear upsampling. A step of the run is one update of the generator
and uses 320 examples, 64 for each update of the discriminator.

The variants with `fid` in their names measure FID and Inception score. They need the Inception v3
weights of pytorch-fid, the file pt_inception-2015-12-05-6726825d.pth, in weights/ in the working
directory. To use another path, set --config.evaluate.fid.weights and
--config.evaluate.inception.weights. :sngan, :conditional and :wgan_gp are the same recipes without
these metrics.

`coverage` counts the classes of the samples with the ResNet-18 in runs/cifar10_resnet18, which the
second command trains. --config.evaluate.coverage.classifier sets another classifier, or None for no
classifier. The `jpeg` variants read `cifar10_jpeg`, the same images after JPEG compression at
quality 75, which is not the published task. Their classifier is
configs/resnet/cifar10.py:resnet18_jpeg, trained with --workdir=runs/cifar10_resnet18_jpeg.
"""

from ml_collections import ConfigDict

from library import presets

WEIGHTS = "weights/pt_inception-2015-12-05-6726825d.pth"
SPECTRAL = dict(name="sngan.discriminator")
CRITIC = dict(name="sngan.discriminator", spectral=False, pool="mean")
HINGE = dict(loss="hinge")
PENALIZED = dict(loss="wasserstein", penalty="interpolates", penalty_weight=10.0)
# Discriminator, task, mimicry's FID.
SNGAN = (SPECTRAL, HINGE, 16.77)
CONDITIONAL = (SPECTRAL, dict(HINGE, conditional=True), 10.84)
WGAN_GP = (CRITIC, PENALIZED, 22.29)
JUDGES = {"cifar10": "runs/cifar10_resnet18", "cifar10_jpeg": "runs/cifar10_resnet18_jpeg"}
# Dataset, recipe, whether to measure FID and Inception score.
VARIANTS = {
    "sngan": ("cifar10", SNGAN, False),
    "fid": ("cifar10", SNGAN, True),
    "conditional": ("cifar10", CONDITIONAL, False),
    "conditional_fid": ("cifar10", CONDITIONAL, True),
    "wgan_gp": ("cifar10", WGAN_GP, False),
    "wgan_gp_fid": ("cifar10", WGAN_GP, True),
    "jpeg": ("cifar10_jpeg", SNGAN, False),
    "conditional_jpeg": ("cifar10_jpeg", CONDITIONAL, False),
}


def get_config(variant: str = "sngan") -> ConfigDict:
    dataset, (discriminator, task, published), fid = VARIANTS[variant]
    config = presets.in_memory(dataset, batch_size=5 * 64, eval_batch_size=500)
    generator = dict(name="sngan.generator", upsampling="bilinear")
    config.model = dict(generator=generator, discriminator=discriminator)
    config.task = dict(name="gan", latent_size=128, **task)
    adam = dict(name="adam", learning_rate=2e-4, b1=0.0, b2=0.9, schedule=dict(name="linear"))
    config.optimizer = dict(discriminator=dict(adam, updates=5), generator=dict(adam))
    config.total = "100000 steps"
    config.evaluate = dict(
        test=dict(kind="metrics", every="10%"),
        samples=dict(kind="samples", every="5%"),
        coverage=dict(
            kind="mode_coverage",
            classifier=JUDGES[dataset],
            conditional=task.get("conditional", False),
            every="5%",
        ),
    )
    if fid:
        config.evaluate.fid = dict(
            kind="frechet.frechet_inception_distance",
            weights=WEIGHTS,
            num=50_000,
            split="train",
            every="10%",
        )
        config.evaluate.inception = dict(
            kind="inception_score", weights=WEIGHTS, num=50_000, every="10%"
        )
        source = "kwotsin/mimicry, README"
        config.reported = dict(metric="fid/fid", value=published, source=source)
    config.checkpoint = dict(every="5%")
    config.log_every = "200 steps"
    return config
