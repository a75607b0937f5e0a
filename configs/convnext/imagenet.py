"""ConvNeXt on ImageNet-1k, by its authors' recipe and by torchvision's recipe.

System:    ConvNeXt (Liu et al. 2022, arXiv 2201.03545): classify images
Command:   python -m experiments.prepare --dataset=imagenet2012 --manual_dir=DIR
           python -m experiments.train --config=configs/convnext/imagenet.py:t
Hardware:  32 devices; not run here. `:smoke` is a small network on noise, on two CPU cores.
Expected:  test_ema/accuracy 0.821 (:t), 0.831 (:s), 0.838 (:b), 0.843 (:l); 0.8252
           (:t_torchvision)
Source:    Liu et al. 2022, "A ConvNet for the 2020s", arXiv 2201.03545, table 5;
           facebookresearch/ConvNeXt, README (82.1, 83.1, 83.8 and 84.3, for running averages of the
           weights), TRAINING.md and main.py: 300 epochs, batches of 4096, AdamW, rate 4e-3, 20
           epochs of warmup, cosine to 1e-6, decay 0.05, drop path 0.1, 0.4, 0.5 and 0.5,
           RandAugment, mixup or cutmix, erasing, smoothing 0.1, averages of 0.9999.
           torchvision, weights ConvNeXt_Tiny_Weights.IMAGENET1K_V1 (82.520, 96.146);
           pytorch/vision, references/classification/README.md: 600 epochs, batches of 1024, AdamW,
           rate 1e-3, 5 epochs of warmup, cosine, decay 0.05 except for normalization,
           TrivialAugment, erasing, mixup or cutmix, averages, each image four times in its batch,
           trained at 176 pixels, tested on the centre 224 of 236.

AdamW multiplies the weight decay by the learning rate. The authors do not decay biases,
normalization and the factors of channels. torchvision only excludes normalization.

What differs: RandAugment has the 14 operations of its own paper. Mixup or cutmix is drawn for each
example, not for each batch. torchvision erases to the mean of each channel, not to grey, and
changes its learning rate once per epoch. torchvision does not say whether its weights are running
averages; the claim assumes it.
"""

from ml_collections import ConfigDict

from library import presets

# Model, reported accuracy.
VARIANTS = {
    "t": ("tiny", 0.821),
    "s": ("small", 0.831),
    "b": ("base", 0.838),
    "l": ("large", 0.843),
    "t_torchvision": ("tiny", 0.8252),
    "smoke": ("tiny", None),
}


def get_config(variant: str = "t") -> ConfigDict:
    size, reported = VARIANTS[variant]
    config = presets.imagenet(batch_size=4096, eval_batch_size=1024)
    config.preprocess = presets.crops(method="bicubic")
    config.augment = presets.deit_mixed()
    config.normalize = presets.IMAGENET_COLOURS
    config.model = dict(name=f"convnext.convnext_{size}", num_classes=1000)
    config.task = dict(name="classification", label_smoothing=0.1)
    config.optimizer = dict(
        name="adamw",
        learning_rate=4e-3,
        b1=0.9,
        b2=0.999,
        weight_decay=0.05,
        schedule=dict(name="cosine", warmup="20 epochs", final=1e-6 / 4e-3),
    )
    config.total = "300 epochs"
    config.ema = dict(decay=0.9999)
    config.checkpoint = dict(every="1 epoch", best="test_ema/accuracy")
    config.log_every = "50 steps"
    if variant == "t_torchvision":
        _as_in_torchvision(config)
    if variant == "smoke":
        presets.shrink(
            config,
            size=64,
            name="convnext",
            num_classes=10,
            stage_sizes=[1, 1],
            widths=[8, 16],
            drop_path=0.1,
        )
    else:
        source = "facebookresearch/ConvNeXt, README"
        if variant == "t_torchvision":
            source = "torchvision, ConvNeXt_Tiny_Weights.IMAGENET1K_V1"
        config.reported = dict(metric="test_ema/accuracy", value=reported, source=source)
    return config


def _as_in_torchvision(config: ConfigDict) -> None:
    epochs, batch_size = 600, 1024
    config.dataset.update(batch_size=batch_size, repeats=4)
    config.preprocess = presets.crops(short=236, train=176, method="bilinear")
    config.augment = presets.trivial_mixed()
    config.optimizer.update(learning_rate=1e-3, decayed=["^(?!.*norm)"])
    config.optimizer.schedule = dict(name="cosine", warmup="5 epochs", warmup_from=0.01)
    config.total = f"{epochs} epochs"
    config.ema = presets.torchvision_average(batch_size, epochs)
