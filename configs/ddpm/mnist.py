"""Denoising diffusion of MNIST digits of a requested class.

System:    DDPM (Ho et al. 2020, arXiv 2006.11239): make images
Command:   python -m experiments.prepare --dataset=mnist_npz
           python -m experiments.train --config=configs/lenet5/mnist.py:linear --workdir=runs/lenet5
           python -m experiments.train --config=configs/ddpm/mnist.py:cpu
Hardware:  one CPU core for :cpu, 14 minutes; one GPU for :full (not run here)
Expected:  judged_ema/accuracy 0.97 or more (0.982 reached): the share of 1000 samples that the
           classifier reads as the requested digit, with 50 steps of DDIM and running averages of
           the params
Source:    no paper reports this metric. Ho et al. 2020, arXiv 2006.11239 (diffusion); Nichol &
           Dhariwal 2021, arXiv 2102.09672 (cosine schedule); Salimans & Ho 2022, arXiv 2202.00512
           (prediction of v); Hang et al. 2023, arXiv 2303.09556 (weights); Ho & Salimans 2022,
           arXiv 2207.12598 (guidance); Song et al. 2021, arXiv 2010.02502 (DDIM).

The second command trains the LeNet-5 in runs/lenet5, which evaluates the samples. `judged` measures
how often it recognizes the requested digits. `fidelity` compares its 84 features of samples and of
as many test images: precision, recall, density, coverage and frechet_classifier_distance. As
sampling is slow, these evaluators and the bound use only the running averages of the params. To use
another classifier, set --config.evaluate.judged.classifier and
--config.evaluate.fidelity.classifier.

`:cpu` turns squares of four pixels into channels before its first convolution. It estimates the
bound on the likelihood by 50 of its 1000 terms for each image, each for one stretch of time.
"""

from ml_collections import ConfigDict

from library import presets

SMALL = dict(width=32, multipliers=(1, 2), num_blocks=1, patch_size=2, dropout=0.0)
LARGE = dict(width=64, multipliers=(1, 2, 2), num_blocks=2, dropout=0.1)
# Model, (batch, rate), total, decay of the running averages.
VARIANTS = {
    "cpu": (SMALL, (64, 2e-3), "2.5 epochs", 0.999),
    "full": (LARGE, (128, 5e-4), "100 epochs", 0.9999),
}


def get_config(variant: str = "cpu") -> ConfigDict:
    model, (batch_size, rate), total, decay = VARIANTS[variant]
    config = presets.in_memory("mnist_npz", batch_size=batch_size)
    config.preprocess = [dict(name="decode", channels=1)]
    config.model = dict(name="ddpm_unet", attention=(7,), scale_shift=True, **model)
    config.task = dict(
        name="diffusion",
        timesteps=1000,
        schedule="cosine",
        prediction="v",
        variance="beta_tilde",
        min_snr=5.0,
        conditional=True,
        label_dropout=0.1,
        guidance=1.5,
        sampler=dict(name="ddim", steps=50, eta=0.0),
        bound_steps=50,
    )
    config.optimizer = dict(
        name="adam",
        learning_rate=rate,
        clip=dict(global_norm=1.0),
        schedule=dict(name="cosine", warmup="200 steps"),
    )
    config.ema = dict(decay=decay, warmup=True)
    config.total = total
    config.evaluate = dict(
        test=dict(kind="metrics", every="25%"),
        samples=dict(kind="samples", num=40, batch_size=40, every="25%"),
        path=dict(kind="samples", output="path", num=8, batch_size=8, every="100%"),
        bound=dict(
            kind="variational_bound", num_examples=200, batch_size=200, ema="only", every="100%"
        ),
        judged=dict(
            kind="sample_accuracy",
            classifier="runs/lenet5",
            num=1000,
            batch_size=200,
            ema="only",
            every="100%",
        ),
        fidelity=dict(
            kind="precision_recall",
            classifier="runs/lenet5",
            num=1000,
            batch_size=200,
            # As many images as samples, from both halves of the test set: the first half is easier.
            split="test[4500:5500]",
            ema="only",
            every="100%",
        ),
    )
    config.reported = dict(
        metric="judged_ema/accuracy", value=0.97, source="the bar this recipe is held to"
    )
    config.checkpoint = dict(every="25%")
    return config
