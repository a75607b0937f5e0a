"""SimCLR on CIFAR-10: two recipes for ResNet-18, and a small residual network for two CPU cores.

System:    SimCLR (Chen et al. 2020, arXiv 2002.05709): learn features without labels
Command:   python -m experiments.prepare --dataset=cifar10
           python -m experiments.train --config=configs/simclr/cifar10.py:resnet18
Hardware:  one GPU (not run here) for :resnet18 and :resnet18_official; two CPU cores: 35 minutes
           for :hour, 1 for :untrained; one core: 13 for :cpu
Expected:  probe/accuracy 0.9074 (:resnet18), about 0.91 (:resnet18_official); reached here 0.69
           (:hour), 0.63 (:cpu) and 0.43 (:untrained), for comparison, also with
           cifar10_fine_tuned.py
Source:    Chen et al. 2020, "A Simple Framework for Contrastive Learning of Visual
           Representations", appendix A (augmentation) and B.9 (CIFAR-10: colour distortion of
           strength 0.5, no blur, a 3x3 stem without pooling).
           :resnet18: solo-learn, README (linear classifier trained online) and the command of
           scripts/pretrain/cifar/simclr.sh. Its LARS caps the local rate at the global rate, and
           its encoder normalizes the two views separately.
           :resnet18_official: google-research/simclr, README ("around 91 %", linear classifier on
           the frozen network), with images that are not normalized.

The other variants read `cifar10_jpeg`, the same images after JPEG compression at quality 75. They
train a WRN-10-2 on crops resized to 16x16, a quarter of the work. Evaluation uses whole images of
32x32: of sizes from 16 to 32 pixels, the probe is best at 32 (0.540 against 0.491 at 16, after two
epochs, on 8,000 images), and the nearest neighbours are equally good.
"""

from ml_collections import ConfigDict

from library import presets

# Strength of the colour distortion, smallest area of a crop, batch size, epochs, temperature.
VARIANTS = {
    "resnet18": (1.0, 0.08, 256, 1000, 0.2),
    "resnet18_official": (0.5, 0.08, 512, 1000, 0.5),
    "hour": (0.5, 0.2, 256, 40, 0.2),
    "cpu": (0.5, 0.2, 256, 8, 0.2),
    "untrained": (0.5, 0.2, 256, 0, 0.2),
}
SMALL = dict(name="wide_resnet", depth=10, widen_factor=2)


def get_config(variant: str = "resnet18") -> ConfigDict:
    strength, area, batch_size, epochs, temperature = VARIANTS[variant]
    config = presets.in_memory("cifar10", batch_size=batch_size, eval_batch_size=500)
    config.views = 2
    config.augment = [
        dict(name="random_resized_crop", area=[area, 1.0], method="bicubic"),
        dict(name="flip_lr"),
        dict(
            name="color_jitter",
            brightness=0.8 * strength,
            contrast=0.8 * strength,
            saturation=0.8 * strength,
            hue=0.2 * strength,
            probability=0.8,
        ),
        dict(name="grayscale", probability=0.2),
    ]
    config.normalize = presets.CIFAR10_COLOURS
    encoder = dict(name="resnet.resnet18", stem="cifar", zero_init=False)
    config.model = dict(name="simclr", encoder=encoder)
    config.task = dict(name="contrastive", temperature=temperature)
    schedule = dict(name="cosine", warmup="10 epochs")
    config.optimizer = dict(name="lars", momentum=0.9, schedule=schedule)
    config.total = f"{epochs} epochs" if epochs else "1 steps"
    config.evaluate = dict(
        knn=dict(kind="nearest_neighbours", every="5%"),
        probe=dict(kind="linear_probe", every="50%"),
    )
    config.checkpoint = dict(every="5%")
    config.log_every = "50 steps"
    if variant == "resnet18":
        config.model.update(hidden=2048, width=256, norm="none")
        config.optimizer.update(learning_rate=0.4, trust_coefficient=0.02, weight_decay=1e-5)
        source = "solo-learn, README"
        config.reported = dict(metric="probe/accuracy", value=0.9074, source=source)
    elif variant == "resnet18_official":
        config.normalize = None
        config.optimizer.update(learning_rate=1.0, base_batch=256, weight_decay=1e-6)
        source = "google-research/simclr, README"
        config.reported = dict(metric="probe/accuracy", value=0.91, source=source)
    else:
        _small(config, trained=epochs > 0)
    return config


def _small(config: ConfigDict, *, trained: bool) -> None:
    config.dataset.name = "cifar10_jpeg"
    config.augment[0].update(size=16, method="bilinear")
    config.model = dict(name="simclr", encoder=SMALL, hidden=256, width=64)
    config.optimizer = dict(
        name="adamw",
        learning_rate=2e-3 if trained else 0.0,
        weight_decay=0.05,
        schedule=dict(name="cosine", warmup="5%"),
    )
    config.evaluate.knn.every = "25%"
    config.evaluate.probe.every = "100%"
    config.checkpoint.every = "10%"
