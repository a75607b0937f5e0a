"""Inception-v2 (BN-Inception) on ImageNet-1k.

System:    Inception-v2 (Ioffe & Szegedy 2015, arXiv 1502.03167): classify images
Command:   python -m experiments.prepare --dataset=imagenet2012 --manual_dir=DIR
           python -m experiments.train --config=configs/inception_v2/imagenet.py:bn
Hardware:  not run here. `:smoke` is the network on small images of noise, on two CPU cores.
Expected:  no result is claimed for this recipe
Source:    Ioffe & Szegedy 2015, "Batch normalization: Accelerating deep network training by
           reducing internal covariate shift", figure 3: their networks reach 72.2 to 74.8 % with
           one crop. The weights that Xiong Yuanjun trained with Caffe have 73.522 and 91.560
           (Cadene/pretrained-models.pytorch); `zoo` lists them as inception_v2.

The paper states batches of 32 and momentum for its networks, a rate of 0.0015 for GoogLeNet that
some of them multiply by 5 or 30, and decays it by the same factor each step, but not all that a run
needs. This recipe is that of torchvision's networks with batch normalization: 90 epochs, rate 0.1
for batches of 256, weight decay 1e-4.
"""

from ml_collections import ConfigDict

from library import presets

VARIANTS = {"bn": False, "smoke": True}


def get_config(variant: str = "bn") -> ConfigDict:
    config = presets.imagenet(batch_size=256, eval_batch_size=200)
    config.preprocess = presets.crops(224)
    config.augment = [dict(name="flip_lr")]
    config.normalize = dict(presets.IMAGENET_COLOURS)
    config.model = dict(name="inception_v2", num_classes=1000)
    config.task = dict(name="classification")
    config.optimizer = dict(
        name="sgd",
        learning_rate=0.1,
        momentum=0.9,
        weight_decay=1e-4,
        schedule=dict(name="cosine", warmup="5 epochs"),
    )
    config.total = "90 epochs"
    config.log_every = "500 steps"
    if VARIANTS[variant]:
        presets.shrink(config)
        crop = [dict(name="decode"), dict(name="center_crop", size=64)]
        config.preprocess = dict(train=crop, test=crop)
        config.model.num_classes = 10
    return config
