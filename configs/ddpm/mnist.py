"""Denoising diffusion of MNIST digits, each of the class that is asked for.

System:    DDPM (Ho et al. 2020, arXiv 2006.11239): make images
Command:   python -m experiments.prepare --dataset=mnist_npz
           python -m experiments.train --config=configs/lenet5/mnist.py:linear --workdir=runs/lenet5
           python -m experiments.train --config=configs/ddpm/mnist.py:cpu
Hardware:  one CPU core for :cpu, 14 minutes; one GPU for :full (not run here)
Expected:  judged_ema/accuracy 0.97 or more (0.982 reached): of 1000 samples by 50 steps of DDIM,
           with running averages of the params, so many are read as the digit asked for
Source:    no paper reports this. Ho et al. 2020, arXiv 2006.11239 (diffusion); Nichol & Dhariwal
           2021, arXiv 2102.09672 (cosine schedule); Salimans & Ho 2022, arXiv 2202.00512
           (prediction of v); Hang et al. 2023, arXiv 2303.09556 (weights); Ho & Salimans 2022,
           arXiv 2207.12598 (guidance); Song et al. 2021, arXiv 2010.02502 (DDIM).

The judge of the samples is the LeNet-5 in runs/lenet5, trained by the second command. `judged`
asks it for the digits, `fidelity` compares its 84 features of as many samples and test images:
precision, recall, density, coverage and frechet_classifier_distance. They and the bound are of the
running averages only, since sampling is slow; another judge is named in both, by
--config.evaluate.judged.classifier and --config.evaluate.fidelity.classifier.

`:cpu` makes squares of four pixels channels before its first convolution. The bound on the
likelihood is estimated by 50 of its 1000 terms an image, each standing for a stretch of time.
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
            # As many as there are samples, of both halves of the set: the first is easier.
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
