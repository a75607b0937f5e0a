"""ResNet-50 on ImageNet-1k, by torchvision's classic recipe and by Flax's recipe.

System:    ResNet (He et al. 2015, arXiv 1512.03385): classify images
Command:   python -m experiments.prepare --dataset=imagenet2012 --manual_dir=DIR
           python -m experiments.train --config=configs/resnet/imagenet_resnet50.py:torchvision
Hardware:  eight devices; not run here. `:smoke` is a small network on noise, on two CPU cores.
           The originals: eight V100 (:torchvision); 4.4 h on TPU v3-8 (:flax).
Expected:  test/accuracy 0.7613 and test/top5 0.9286 (:torchvision), 0.7637 (:flax)
Source:    torchvision, weights ResNet50_Weights.IMAGENET1K_V1 (76.130, 92.862), trained by
           references/classification/train.py with its defaults: 90 epochs, 32 images on each of
           eight devices, SGD, rate 0.1 divided by 10 every 30 epochs, momentum 0.9, weight decay
           1e-4 on all params.
           google/flax, examples/imagenet, README and configs/tpu.py: 100 epochs, batches of 1024,
           Nesterov momentum, rate 0.1 for 256 images scaled linearly, 5 epochs of warmup, cosine,
           1e-4 / 2 of the squared kernels added to the loss, bfloat16. Its README lists 76.37 on
           TPU v3-8, 76.67 on v2-32, 76.54 on v3-32, and 76.72 on eight V100 in float32 with
           batches of 512.

In both originals, and here under `pmap`, each device has its own batch statistics: keep 32
(:torchvision) and 128 (:flax) images per device. Training crops have 8 to 100 % of the area.
Evaluation takes the centre 224 of 256 pixels. Flax's example uses TensorFlow's bicubic resizing,
which is not antialiased; resizing here is antialiased.
"""

from ml_collections import ConfigDict

from library import presets

VARIANTS = {"torchvision": 0.7613, "flax": 0.7637, "smoke": None}


def get_config(variant: str = "torchvision") -> ConfigDict:
    config = presets.imagenet(batch_size=256)
    config.preprocess = presets.crops(method="bicubic" if variant == "flax" else "bilinear")
    config.augment = [dict(name="flip_lr")]
    config.normalize = presets.IMAGENET_COLOURS
    config.model = dict(name="resnet.resnet50", num_classes=1000, zero_init=False)
    config.task = dict(name="classification")
    config.optimizer = dict(name="sgd", learning_rate=0.1, momentum=0.9, weight_decay=1e-4)
    config.total = "90 epochs"
    config.parallel = dict(strategy="pmap")
    if variant == "flax":
        config.dataset.batch_size = 1024
        config.model.update(zero_init=True, dtype="bfloat16")
        config.optimizer.update(
            base_batch=256,
            nesterov=True,
            decayed="kernels",
            schedule=dict(name="cosine", warmup="5 epochs"),
        )
        config.total = "100 epochs"
    else:
        config.optimizer.update(
            decayed="all",
            schedule=dict(name="step", boundaries=["30 epochs", "60 epochs"], factor=0.1),
        )
    if variant == "smoke":
        presets.shrink(config, size=64, name="resnet.resnet18", num_classes=10, width=8)
    else:
        source = {"torchvision": "torchvision, IMAGENET1K_V1", "flax": "google/flax, TPU v3-8"}
        config.reported = dict(
            metric="test/accuracy", value=VARIANTS[variant], source=source[variant]
        )
    return config
