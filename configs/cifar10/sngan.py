"""SNGAN on CIFAR-10: residual players, spectral normalization, hinge loss; told the class; WGAN-GP.

Command:   python -m experiments.prepare --dataset=cifar10
           python -m experiments.train --config=configs/cifar10/sngan.py:sngan
Hardware:  one GPU (not run here)
Expected:  FID 21.7 as its paper, or 16.77 as mimicry, computes it for :sngan; of mimicry 10.84
           for :conditional (told the class) and 22.29 for :wgan_gp
Source:    Miyato et al. 2018, "Spectral Normalization for Generative Adversarial Networks",
           appendix B and table 2: Adam with rate 2e-4, betas 0 and 0.9, batches of 64, five
           updates of the discriminator to one of the generator, 100k of the latter.
           Lee & Town 2020, "Mimicry: Towards the Reproducibility of GAN Research" (arXiv
           2005.02494), and kwotsin/mimicry, README: the same with the rate falling linearly to
           zero; FID of 50k samples against the 50k training images. :conditional is its cGAN-PD,
           :wgan_gp its WGAN-GP.

What is here is mimicry's recipe, bilinear upsampling included. A step of the run is one update of
the generator, and takes 320 examples, 64 for each update of the discriminator.

Without further files the recipes measure how various the samples are, not FID. `:fid` is :sngan
with FID, and needs pytorch-fid's weights of Inception v3, the file that follows, in weights/ below
the working directory (--config.evaluate.fid.weights names another place):
pt_inception-2015-12-05-6726825d.pth. `:jpeg` reads `cifar10_jpeg`, the same images after JPEG
compression at quality 75: not the published task.
"""

from ml_collections import ConfigDict

SPECTRAL = dict(name="sngan.discriminator")
CRITIC = dict(name="sngan.discriminator", spectral=False, pool="mean")
HINGE = dict(loss="hinge")
PENALIZED = dict(loss="wasserstein", penalty="interpolates", penalty_weight=10.0)
# Dataset, discriminator, task, whether to measure FID.
VARIANTS = {
    "sngan": ("cifar10", SPECTRAL, HINGE, False),
    "fid": ("cifar10", SPECTRAL, HINGE, True),
    "conditional": ("cifar10", SPECTRAL, dict(HINGE, conditional=True), False),
    "wgan_gp": ("cifar10", CRITIC, PENALIZED, False),
    "jpeg": ("cifar10_jpeg", SPECTRAL, HINGE, False),
    "conditional_jpeg": ("cifar10_jpeg", SPECTRAL, dict(HINGE, conditional=True), False),
}


def get_config(variant: str = "sngan") -> ConfigDict:
    dataset, discriminator, task, fid = VARIANTS[variant]
    config = ConfigDict()
    config.dataset = dict(
        name=dataset,
        train="train",
        test="test",
        batch_size=5 * 64,
        eval_batch_size=500,
        cache="device",
    )
    generator = dict(name="sngan.generator", upsampling="bilinear")
    config.model = dict(generator=generator, discriminator=discriminator)
    config.task = dict(name="adversarial", latent_size=128, **task)
    adam = dict(name="adam", learning_rate=2e-4, b1=0.0, b2=0.9, schedule=dict(name="linear"))
    config.optimizer = dict(discriminator=dict(adam, updates=5), generator=dict(adam))
    config.total = "100000 steps"
    config.evaluate = dict(
        test=dict(kind="metrics", every="10%"),
        samples=dict(kind="samples", every="5%"),
        coverage=dict(kind="mode_coverage", conditional=task.get("conditional", False), every="5%"),
    )
    if fid:
        config.evaluate.fid = dict(
            kind="frechet.frechet_inception_distance",
            weights="weights/pt_inception-2015-12-05-6726825d.pth",
            num=50_000,
            split="train",
            every="10%",
        )
        source = "kwotsin/mimicry, README"
        config.reported = dict(metric="fid/fid", value=16.77, source=source)
    config.checkpoint = dict(every="5%")
    config.log_every = "200 steps"
    config.seed = 0
    return config
