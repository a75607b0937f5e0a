"""DeiT on ImageNet-1k: a ViT without more data, alone and with the predictions of a teacher.

System:    DeiT (Touvron et al. 2020, arXiv 2012.12877): classify images
Command:   python -m experiments.prepare --dataset=imagenet2012 --manual_dir=DIR
           python -m experiments.train --config=configs/deit/imagenet.py:s
           python -m experiments.zoo import convnext_tiny --weights=FILE
               --workdir=runs/imagenet_teacher
           python -m experiments.train --config=configs/deit/imagenet.py:s_distilled
Hardware:  four to sixteen devices; not run here. `:smoke` is a small network on noise, on two CPU
           cores, and `:smoke_distilled` learns from it.
Expected:  test/accuracy 0.722 (:ti), 0.799 (:s), 0.818 (:b); 0.745 (:ti_distilled), 0.812
           (:s_distilled), 0.834 (:b_distilled)
Source:    Touvron et al. 2021, "Training data-efficient image transformers & distillation through
           attention", arXiv 2012.12877, table 9; facebookresearch/deit, README_deit.md (72.202,
           79.854, 81.846; 74.476, 81.164, 83.372) and main.py: 300 epochs, batches of 1024, AdamW,
           rate 5e-4 for 512 images, 5 epochs of warmup from 1e-6, cosine to 1e-5, decay 0.05 except
           for biases, normalization, tokens and positions, drop path 0.1, rand-m9-mstd0.5-inc1,
           mixup or cutmix, erasing with probability 0.25, smoothing 0.1, each image three times in
           its batch; hard distillation with half the loss and labels that are not smoothed.

The distillation token learns the class that the teacher predicts, and the class token learns the
label. Evaluation takes the mean of both logits. For soft targets with the values of the paper:
--config.task.targets=soft --config.task.temperature=3.0 --config.task.weight=0.1. The reported
results are for the params without running averages. AdamW multiplies the weight decay by the
learning rate.

What differs: the teacher of the authors is a RegNetY-16GF with 82.9, trained in the same way. Here
it is any run on ImageNet, such as torchvision's ConvNeXt-T with 82.5. A batch of the authors has
1024 images. Here it has 1008, a multiple of three and of sixteen devices, and the rate is scaled to
it. The authors mix a whole batch in the same way. RandAugment has the 14 operations of its own
paper. timm's cosine starts at the start of the warmup, and the cosine here at its end.
"""

from ml_collections import ConfigDict

from library import presets

# Size, whether there is a teacher, reported accuracy.
VARIANTS = {
    "s": ("s", False, 0.79854),
    "ti": ("ti", False, 0.72202),
    "b": ("b", False, 0.81846),
    "s_distilled": ("s", True, 0.81164),
    "ti_distilled": ("ti", True, 0.74476),
    "b_distilled": ("b", True, 0.83372),
    "smoke": ("ti", False, None),
    "smoke_distilled": ("ti", True, None),
}


def get_config(variant: str = "s") -> ConfigDict:
    size, distilled, reported = VARIANTS[variant]
    config = presets.imagenet(batch_size=1008, repeats=3)
    config.preprocess = presets.crops(method="bicubic")
    config.augment = presets.deit_mixed()
    config.normalize = presets.IMAGENET_COLOURS
    if distilled:
        config.model = dict(name=f"deit.deit_{size}16", num_classes=1000, drop_path=0.1)
        config.task = dict(
            name="distillation",
            teacher="runs/imagenet_teacher",
            targets="hard",
            weight=0.5,
            label_smoothing=0.1,
        )
    else:
        config.model = dict(name=f"vit.vit_{size}16", num_classes=1000, drop_path=0.1)
        config.task = dict(name="classification", label_smoothing=0.1)
    config.optimizer = dict(
        name="adamw",
        learning_rate=5e-4,
        base_batch=512,
        b1=0.9,
        b2=0.999,
        weight_decay=0.05,
        schedule=dict(name="cosine", warmup="5 epochs", warmup_from=1e-3, final=0.01),
    )
    config.total = "300 epochs"
    config.log_every = "50 steps"
    if reported is None:
        _shrink(config, distilled)
    else:
        config.reported = dict(
            metric="test/accuracy", value=reported, source="facebookresearch/deit, README_deit.md"
        )
    return config


def _shrink(config: ConfigDict, distilled: bool) -> None:
    presets.shrink(config, size=64)
    if distilled:
        config.model.num_classes = 10
        config.task.teacher = "runs/deit-imagenet-smoke"
    else:
        config.model = dict(name="vit", num_classes=10, width=32, depth=2, num_heads=2)
