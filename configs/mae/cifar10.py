"""Masked autoencoders on CIFAR-10: the gain of a small ViT from pretraining without labels.

System:    MAE (He et al. 2021, arXiv 2111.06377): learn features without labels
Command:   python -m experiments.prepare --dataset=cifar10
           python -m experiments.train --config=configs/mae/cifar10.py:full
           python -m experiments.train --config=configs/mae/cifar10.py:finetune
           python -m experiments.train --config=configs/mae/cifar10.py:scratch
Hardware:  one GPU, not run here; two CPU cores for the _cpu variants, at most 15 minutes each
Expected:  test/accuracy 0.8977 (:finetune) against 0.7413 (:scratch); here 0.664 (:finetune_cpu)
           against 0.590 (:scratch_cpu)
Source:    IcarusWizard/MAE, README and the defaults of its scripts: ViT-T with patches of 2x2
           pixels, 2000 epochs of pretraining in batches of 4096 on plain pixels, 100 of
           classification in batches of 128, no augmentation, weight decay on all params; the method
           is that of He et al. 2022, arXiv 2111.06377.

The original keeps its best epoch by the reported accuracy, also has learned positions in the
decoder, and changes its rates once per epoch.

On two CPU cores use :cpu, :finetune_cpu and :scratch_cpu. These variants read `cifar10_jpeg`, the
same images after JPEG compression, with a smaller network, patches of 4x4 pixels, normalized
targets and few epochs. There are no published results for them. Two runs that differ only in their
initial params are comparable.
"""

from ml_collections import ConfigDict

from library import presets

# Encoders, and decoders of the masked autoencoders.
_TINY = dict(width=192, depth=12, num_heads=3, patch_size=2, positions="learned")
_TINY_DECODER = dict(decoder_width=192, decoder_depth=4, decoder_heads=3)
_SMALL = dict(width=96, depth=4, num_heads=3, patch_size=4, positions="sincos2d")
_SMALL_DECODER = dict(decoder_width=64, decoder_depth=1, decoder_heads=4)

# Whether on CPU; initial params of the classifier, None for pretraining; reported accuracy.
VARIANTS = {
    "cpu": (True, None, None),
    "finetune_cpu": (True, "runs/mae-cifar10-cpu", None),
    "scratch_cpu": (True, "scratch", None),
    "full": (False, None, None),
    "finetune": (False, "runs/mae-cifar10-full", 0.8977),
    "scratch": (False, "scratch", 0.7413),
}


def get_config(variant: str = "cpu") -> ConfigDict:
    on_cpu, start, reported = VARIANTS[variant]
    config = presets.in_memory("cifar10_jpeg" if on_cpu else "cifar10", batch_size=256)
    config.normalize = presets.SIGNED
    config.checkpoint = dict(every="10%")
    config.log_every = "20 steps"
    if on_cpu:
        config.augment = [dict(name="random_crop", padding=4), dict(name="flip_lr")]
    if start is None:
        _pretrain(config, on_cpu)
    else:
        _classify(config, on_cpu, start)
    if reported is not None:
        config.reported = dict(
            metric="test/accuracy", value=reported, source="IcarusWizard/MAE, README"
        )
    return config


def _pretrain(config: ConfigDict, on_cpu: bool) -> None:
    network = {**_SMALL, **_SMALL_DECODER} if on_cpu else {**_TINY, **_TINY_DECODER}
    config.model = dict(name="mae", **network)
    config.task = dict(name="mae", mask_ratio=0.75, norm_pix=on_cpu)
    config.optimizer = dict(
        name="adamw",
        learning_rate=1e-3 if on_cpu else 1.5e-4,
        b1=0.9,
        b2=0.95,
        weight_decay=0.05,
        schedule=dict(name="cosine", warmup="5%" if on_cpu else "200 epochs"),
    )
    if not on_cpu:
        config.dataset.batch_size = 4096
        config.accumulate = 8
        config.optimizer.update(base_batch=256, decayed="all")
    config.total = "15 epochs" if on_cpu else "2000 epochs"
    config.evaluate = dict(
        test=dict(kind="metrics", every="5%"),
        samples=dict(
            kind="samples", output="masked_reconstruct", num=16, split="test", every="20%"
        ),
        neighbours=dict(kind="nearest_neighbours", k=200, temperature=0.07, every="100%"),
        probe=dict(kind="linear_probe", every="100%"),
    )


def _classify(config: ConfigDict, on_cpu: bool, start: str) -> None:
    network = _SMALL if on_cpu else _TINY
    config.model = dict(name="vit", num_classes=10, pool="cls", **network)
    config.task = dict(name="classification")
    config.optimizer = dict(
        name="adamw",
        learning_rate=1e-3,
        weight_decay=0.05,
        schedule=dict(name="cosine", warmup="5%"),
    )
    if not on_cpu:
        config.dataset.batch_size = 128
        config.optimizer.update(base_batch=256, decayed="all")
    if start != "scratch":
        config.init_from = dict(workdir=start, prefix="encoder")
    config.total = "6 epochs" if on_cpu else "100 epochs"
    config.evaluate = dict(test=dict(kind="metrics", every="1 epoch"))
