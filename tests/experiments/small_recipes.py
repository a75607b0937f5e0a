"""A recipe a family, so small that it runs in seconds: what is done to whole runs of all of them.

The language models read a text whose folder is given: --config.dataset.data_dir=DIR.
"""

from ml_collections import ConfigDict

SGD = dict(name="sgd", learning_rate=0.05, momentum=0.9)
TEXT = dict(name="text", tokenizer=dict(name="character"), context=8)
VIT = dict(width=8, depth=1, num_heads=2, patch_size=4)

# What each changes of a classifier of noise.
VARIANTS = {
    "classifier": dict(
        model=dict(name="cnn.small", widths=[4, 8], dropout=0.1),
        augment=[dict(name="random_crop", padding=1)],
        ema=dict(decay=0.9),
    ),
    "autoencoder": dict(
        model=dict(name="autoencoder.dense", hidden=[8], latent_dim=4),
        task=dict(name="autoencoding", corruption="masking", corruption_level=0.3),
    ),
    "vae": dict(
        model=dict(name="vae.dense", hidden=[8], latent_dim=2),
        task=dict(name="variational", binarize=True),
    ),
    "gan": dict(
        model=dict(
            generator=dict(name="sngan.generator", width=4),
            discriminator=dict(name="sngan.discriminator", width=4),
        ),
        task=dict(name="gan", latent_size=4, loss="hinge", conditional=True),
        optimizer=dict(discriminator=dict(SGD), generator=dict(SGD)),
        ema=dict(decay=0.9),
    ),
    "diffusion": dict(
        model=dict(
            name="ddpm_unet", width=8, multipliers=[1], num_blocks=1, attention=[], dropout=0.1
        ),
        task=dict(name="diffusion", timesteps=10, sampler=dict(name="ddim", steps=2)),
        ema=dict(decay=0.9),
    ),
    "simclr": dict(
        model=dict(
            name="simclr",
            encoder=dict(name="vit", hidden=8, **VIT),
            hidden=8,
            width=4,
            norm="none",
        ),
        task=dict(name="contrastive"),
        augment=[dict(name="random_crop", padding=1)],
        views=2,
        optimizer=dict(name="lars", learning_rate=0.1),
    ),
    "mae": dict(
        model=dict(name="mae", decoder_width=8, decoder_depth=1, decoder_heads=2, **VIT),
        task=dict(name="mae", mask_ratio=0.5),
    ),
    "gpt": dict(
        dataset=TEXT,
        model=dict(name="gpt", context=8, width=8, depth=1, num_heads=2, dropout=0.1),
        task=dict(name="language"),
    ),
    "lstm": dict(
        dataset={**TEXT, "order": "streams"},
        model=dict(name="recurrent.lstm", width=8, depth=1),
        task=dict(name="language"),
    ),
}


def get_config(variant: str = "classifier") -> ConfigDict:
    values = dict(
        dataset=dict(name="synthetic/8x4x1", train="train[:500]", test="test[:100]"),
        preprocess=[],
        task=dict(name="classification"),
        optimizer=dict(SGD),
        total="60 steps",
        evaluate=dict(test=dict(kind="metrics", every="20 steps")),
        checkpoint=dict(every="15 steps"),
        log_every="5 steps",
    )
    values.update(VARIANTS[variant])
    values["dataset"].setdefault("train", "train")
    values["dataset"].setdefault("test", "test")
    values["dataset"].update(batch_size=16, cache="device")
    return ConfigDict(values)
