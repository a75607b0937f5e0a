"""Masked autoencoders on ImageNet-1k: pretraining without labels, then fine-tuning.

System:    MAE (He et al. 2021, arXiv 2111.06377): learn features without labels
Command:   python -m experiments.prepare --dataset=imagenet2012 --manual_dir=DIR
           python -m experiments.train --config=configs/mae/imagenet.py:b16
           python -m experiments.train --config=configs/mae/imagenet.py:b16_finetune
Hardware:  many devices; not run here. The authors pretrain ViT-L for 800 epochs in 42 h on 64 V100,
           and fine-tune ViT-B in 7 h on 32. `:smoke` is a small network on noise, on two CPU cores.
Expected:  probe/accuracy 0.680 (:b16) and 0.758 (:l16), a linear classifier on the class token;
           test/accuracy 0.8366 (:b16_finetune) and 0.8595 (:l16_finetune)
Source:    He et al. 2022, "Masked autoencoders are scalable vision learners", arXiv 2111.06377,
           tables 8 and 9; facebookresearch/mae, PRETRAIN.md and FINETUNE.md, from which the
           accuracies are (the paper has 83.6 and 85.9): with RandErase, and 50 epochs for ViT-L.

Rates are for 256 images per step. The published models have 1600 epochs, the ablations 800.

What differs: fixed positions include their lowest frequency, as in big_vision and unlike in MoCo
v3, and stay fixed in fine-tuning. Fine-tuning uses the class token, which "performs similarly"; the
authors' published models average the patches. The tokens of class and mask have no weight decay.
Mixup or cutmix is drawn for each example, not for each batch. RandAugment has the 14 operations of
its own paper. The linear classifier is fitted by L-BFGS to standardized features of centre crops;
the authors train it by LARS, after a BatchNorm layer, on augmented images.
"""

from ml_collections import ConfigDict

from library import presets

# Model, epochs, reported accuracy of the linear probe.
PRETRAINING = {"b16": ("mae.mae_b16", 1600, 0.680), "l16": ("mae.mae_l16", 1600, 0.758)}
# Model, epochs, rate, layer decay, drop path, reported accuracy.
FINE_TUNING = {
    "b16_finetune": ("vit.vit_b16", 100, 5e-4, 0.65, 0.1, 0.8366),
    "l16_finetune": ("vit.vit_l16", 50, 1e-3, 0.75, 0.2, 0.8595),
}
VARIANTS = {**PRETRAINING, **FINE_TUNING, "smoke": None}


def get_config(variant: str = "b16") -> ConfigDict:
    config = presets.imagenet(batch_size=4096, eval_batch_size=1024)
    config.normalize = presets.IMAGENET_COLOURS
    config.log_every = "50 steps"
    if variant in FINE_TUNING:
        _fine_tune(config, variant)
    else:
        _pretrain(config, "b16" if variant == "smoke" else variant)
    if variant == "smoke":
        presets.shrink(
            config,
            size=64,
            name="mae",
            width=32,
            depth=2,
            num_heads=2,
            patch_size=16,
            decoder_width=16,
            decoder_depth=1,
            decoder_heads=2,
        )
    return config


def _pretrain(config: ConfigDict, variant: str) -> None:
    model, epochs, reported = PRETRAINING[variant]
    config.preprocess = presets.crops(area=[0.2, 1.0], method="bicubic")
    config.augment = [dict(name="flip_lr")]
    config.model = dict(name=model)
    config.task = dict(name="mae", mask_ratio=0.75, norm_pix=True)
    config.optimizer = dict(
        name="adamw",
        learning_rate=1.5e-4,
        base_batch=256,
        b1=0.9,
        b2=0.95,
        weight_decay=0.05,
        schedule=dict(name="cosine", warmup="40 epochs"),
    )
    config.total = f"{epochs} epochs"
    config.evaluate = dict(
        test=dict(kind="metrics", every="20 epochs"),
        samples=dict(
            kind="samples", output="masked_reconstruct", num=16, split="test", every="10%"
        ),
        probe=dict(kind="linear_probe", every="100%"),
    )
    config.checkpoint = dict(every="10 epochs")
    config.reported = dict(
        metric="probe/accuracy",
        value=reported,
        source="facebookresearch/mae, FINETUNE.md, linear probing, paper (TF/TPU)",
    )


def _fine_tune(config: ConfigDict, variant: str) -> None:
    model, epochs, rate, layer_decay, drop_path, reported = FINE_TUNING[variant]
    config.dataset.batch_size = 1024
    config.preprocess = presets.crops(area=[0.08, 1.0], method="bicubic")
    config.augment = presets.deit_mixed()
    config.model = dict(
        name=model, num_classes=1000, pool="cls", positions="sincos2d", drop_path=drop_path
    )
    config.task = dict(name="classification", label_smoothing=0.1)
    config.init_from = dict(
        workdir=f"runs/mae-imagenet-{variant.removesuffix('_finetune')}", prefix="encoder"
    )
    config.optimizer = dict(
        name="adamw",
        learning_rate=rate,
        base_batch=256,
        b1=0.9,
        b2=0.999,
        weight_decay=0.05,
        layer_decay=dict(rate=layer_decay, pattern=r"^block(\d+)/", stem=["^patches/", "^cls$"]),
        schedule=dict(name="cosine", warmup="5 epochs", final=1e-6 / (4 * rate)),
    )
    config.total = f"{epochs} epochs"
    config.evaluate = dict(test=dict(kind="metrics", every="1 epoch"))
    config.checkpoint = dict(every="1 epoch")
    config.reported = dict(
        metric="test/accuracy", value=reported, source="facebookresearch/mae, FINETUNE.md"
    )
