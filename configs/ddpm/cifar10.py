"""DDPM on CIFAR-10, and improved DDPM.

System:    DDPM (Ho et al. 2020, arXiv 2006.11239): make images
Command:   python -m experiments.prepare --dataset=cifar10
           python -m experiments.train --config=configs/ddpm/cifar10.py:ddpm
Hardware:  one GPU or more, days (not run here)
Expected:  at most 3.75 bits per dimension (:ddpm), FID 3.17 and an Inception score of 9.46 (:fid);
           3.17 bits (:improved)
Source:    Ho et al. 2020, "Denoising Diffusion Probabilistic Models" (arXiv 2006.11239), table 1,
           row L_simple, and appendix B: batches of 128, Adam with rate 2e-4, dropout 0.1, flips,
           running averages of decay 0.9999, 800k updates, 35.7M params. The 5000 steps of warmup
           and the clipping at norm 1 are from the authors' program.
           Nichol & Dhariwal 2021, "Improved Denoising Diffusion Probabilistic Models" (arXiv
           2102.09672), table 2, row cosine L_hybrid with T = 4000 (FID 3.19), and the flags for
           CIFAR-10 in openai/improved-diffusion, README: three blocks per level, learned variances,
           dropout 0.3, rate 1e-4, batches of 128, 500k updates.

The bound is for the whole test set and all terms, at the end of the run: the model runs 1000 or
4000 times for each image. Samples take all steps of the chain. For fewer steps use
--config.task.sampler.name=ddim --config.task.sampler.steps=50.

`:fid` is :ddpm with FID and Inception score of 50k samples against the training images. It needs
the Inception v3 weights of pytorch-fid, the file pt_inception-2015-12-05-6726825d.pth, in weights/
in the working directory. To use another path, set --config.evaluate.fid.weights and
--config.evaluate.inception.weights.

`:jpeg` and `:improved_jpeg` read `cifar10_jpeg`, the same images after JPEG compression at quality
75. Their results are not comparable with published results.
"""

from ml_collections import ConfigDict

from library import presets

WEIGHTS = "weights/pt_inception-2015-12-05-6726825d.pth"
HO = "Ho et al. 2020, table 1"
PLAIN = dict(
    model=dict(),
    task=dict(timesteps=1000, schedule="linear", variance="beta"),
    optimizer=dict(
        learning_rate=2e-4,
        clip=dict(global_norm=1.0),
        schedule=dict(name="constant", warmup="5000 steps"),
    ),
    augment=[dict(name="flip_lr")],
    total="800000 steps",
    reported=dict(metric="bound_ema/bits_per_dim", value=3.75, source=HO),
)
IMPROVED = dict(
    model=dict(
        num_blocks=3, attention=(16, 8), num_heads=4, scale_shift=True, dropout=0.3, num_out=6
    ),
    task=dict(timesteps=4000, schedule="cosine", variance="learned"),
    optimizer=dict(learning_rate=1e-4),
    augment=[],
    total="500000 steps",
    reported=dict(
        metric="bound_ema/bits_per_dim", value=3.17, source="Nichol & Dhariwal 2021, table 2"
    ),
)
# Dataset, recipe, whether to measure FID and Inception score.
VARIANTS = {
    "ddpm": ("cifar10", PLAIN, False),
    "fid": ("cifar10", PLAIN, True),
    "improved": ("cifar10", IMPROVED, False),
    "jpeg": ("cifar10_jpeg", PLAIN, False),
    "improved_jpeg": ("cifar10_jpeg", IMPROVED, False),
}


def get_config(variant: str = "ddpm") -> ConfigDict:
    dataset, recipe, fid = VARIANTS[variant]
    config = presets.in_memory(dataset, batch_size=128, eval_batch_size=500)
    config.augment = recipe["augment"]
    config.model = dict(name="ddpm_unet", **recipe["model"])
    config.task = dict(
        name="diffusion", sampler=dict(name="ancestral", steps=None), **recipe["task"]
    )
    config.optimizer = dict(name="adam", **recipe["optimizer"])
    config.ema = dict(decay=0.9999)
    config.total = recipe["total"]
    config.evaluate = dict(
        test=dict(kind="metrics", every="1%"),
        samples=dict(kind="samples", num=64, batch_size=64, every="5%"),
        path=dict(kind="samples", output="path", num=8, batch_size=8, every="100%"),
        bound=dict(kind="variational_bound", every="100%"),
    )
    config.checkpoint = dict(every="1%")
    config.log_every = "200 steps"
    config.reported = dict(recipe["reported"])
    if fid:
        config.evaluate.fid = dict(
            kind="frechet.frechet_inception_distance",
            weights=WEIGHTS,
            num=50_000,
            split="train",
            every="100%",
        )
        config.evaluate.inception = dict(
            kind="inception_score", weights=WEIGHTS, num=50_000, every="100%"
        )
        config.reported = dict(metric="fid_ema/fid", value=3.17, source=HO)
    return config
