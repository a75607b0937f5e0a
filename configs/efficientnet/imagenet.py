"""EfficientNet on ImageNet-1k, by its authors' recipe and by timm's; with notes on Noisy Student.

System:    EfficientNet (Tan & Le 2019, arXiv 1905.11946): classify images
Command:   python -m experiments.prepare --dataset=imagenet2012 --manual_dir=DIR
           python -m experiments.train --config=configs/efficientnet/imagenet.py:b0
Hardware:  sixteen devices or more; not run here. `:smoke` is a small network on noise, on two CPU
           cores. The originals: a TPU (:b0 to :b7), two GPUs (:b0_timm).
Expected:  test_ema/accuracy 0.771 (:b0), 0.791 (:b1), 0.801 (:b2), 0.816 (:b3), 0.829 (:b4), 0.836
           (:b5), 0.840 (:b6), 0.843 (:b7); 0.777 (:b0_timm)
Source:    Tan & Le 2019, "EfficientNet: Rethinking model scaling for convolutional neural
           networks", arXiv 1905.11946, section 5.2. tensorflow/tpu, models/official/efficientnet,
           README, row "AutoAugment (AA)", and main.py: 350 epochs, batches of 2048, RMSProp with
           0.9, 0.9 and 1e-3, rate 0.016 for 256 images, 5 epochs of warmup, times 0.97 every 2.4
           epochs (utils.py: counted from the first step, so that the rate is 0.97 ** 2 of its peak
           when warmup ends), the squares of all params but normalization's times 1e-5 / 2 added to
           the loss, smoothing 0.1, averages of 0.9999, batch statistics of 128 images.
           timm, training examples, "EfficientNet-B0 with RandAugment": 450 epochs, batches of 768,
           rate 0.048, dropout and drop path 0.2, rand-m9-mstd0.5, erasing with probability 0.2,
           averages of 0.9999.

In Noisy Student (Xie, Luong, Hovy & Le 2020, "Self-training with Noisy Student improves ImageNet
classification", arXiv 1911.04252), a teacher sees clean images and labels 300 million unlabelled
images of JFT with its probabilities. A student that is at least as large learns these labels and
those of ImageNet, with noise: RandAugment, dropout, stochastic depth. Then it becomes the next
teacher, three times in all. JFT is not public, so there is no recipe for it here. `distillation`
would be another method, as its teacher sees the student's own noisy image.

`zoo import noisy_student_b0` to `noisy_student_l2` load the published weights, reported with 78.8
to 88.4 (tensorflow/tpu, same table, row "NoisyStudent + RA"). Lectures show 79.8 for B0, but the
authors' table says 78.8, and timm measures 78.67 for the same weights.

Images are resized by bicubic interpolation. Evaluation resizes to sides that are 32 pixels longer
and takes the centre (:b0 to :b7), or takes 224 of 256 (:b0_timm). Keep 128 images per device in :b0
to :b7, 384 in :b0_timm.

What differs: AutoAugment has the policy of its paper, which the authors later changed in their
code. RandAugment has the 14 operations of its own paper. timm resizes with one of two methods, and
changes its rate only between epochs.
"""

from ml_collections import ConfigDict

from library import presets

# Size of the images, reported accuracy.
SIZES = {
    "b0": (224, 0.771),
    "b1": (240, 0.791),
    "b2": (260, 0.801),
    "b3": (300, 0.816),
    "b4": (380, 0.829),
    "b5": (456, 0.836),
    "b6": (528, 0.840),
    "b7": (600, 0.843),
}
VARIANTS = {**SIZES, "b0_timm": (224, 0.777), "smoke": (224, None)}


def get_config(variant: str = "b0") -> ConfigDict:
    size, reported = VARIANTS[variant]
    config = presets.imagenet(batch_size=2048, eval_batch_size=1024)
    config.preprocess = presets.crops(size, short=size + 32, method="bicubic")
    config.augment = [dict(name="flip_lr"), dict(name="auto_augment", policy="imagenet")]
    config.normalize = presets.IMAGENET_COLOURS
    network = variant if variant in SIZES else "b0"
    config.model = dict(
        name=f"efficientnet.efficientnet_{network}",
        num_classes=1000,
        variant="tensorflow",
        drop_path=0.2,
    )
    config.task = dict(name="classification", label_smoothing=0.1)
    config.optimizer = dict(
        name="rmsprop",
        learning_rate=0.016,
        base_batch=256,
        decay=0.9,
        momentum=0.9,
        eps=1e-3,
        initial_scale=1.0,
        weight_decay=1e-5,
        decayed=["kernel$"] if variant == "b0_timm" else ["^(?!.*norm)"],
        schedule=dict(
            name="exponential",
            factor=0.97,
            every="2.4 epochs",
            staircase=True,
            since="start",
            warmup="5 epochs",
        ),
    )
    config.total = "350 epochs"
    config.ema = dict(decay=0.9999, warmup=True)
    config.parallel = dict(strategy="pmap")
    config.evaluate = dict(test=dict(kind="metrics", every="5 epochs"))
    config.checkpoint = dict(every="5 epochs", best="test_ema/accuracy")
    if variant == "b0_timm":
        _as_in_timm(config)
    if variant == "smoke":
        presets.shrink(config, size=64, name="efficientnet", num_classes=10, width=0.25, depth=0.25)
    else:
        source = "timm, training examples" if variant == "b0_timm" else "tensorflow/tpu, README, AA"
        config.reported = dict(metric="test_ema/accuracy", value=reported, source=source)
    return config


def _as_in_timm(config: ConfigDict) -> None:
    config.dataset.batch_size = 768
    config.augment = [
        dict(name="flip_lr"),
        dict(name="rand_augment", num_layers=2, magnitude=9.0, magnitude_std=0.5, probability=0.5),
        dict(name="random_erasing", probability=0.2, area=[0.02, 1 / 3], fill="normal"),
    ]
    config.model.variant = "torchvision"
    config.optimizer.update(learning_rate=0.048, base_batch=768)
    config.optimizer.schedule.update(warmup="3 epochs", warmup_from=1e-6 / 0.048)
    config.total = "450 epochs"
    config.ema = dict(decay=0.9999)
