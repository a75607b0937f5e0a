"""MobileNet on ImageNet-1k, as its authors trained it.

System:    MobileNet v1 (Howard et al. 2017, arXiv 1704.04861): classify images
Command:   python -m experiments.prepare --dataset=imagenet2012 --manual_dir=DIR
           python -m experiments.train --config=configs/mobilenet_v1/imagenet.py:paper
Hardware:  eight devices; not run here. `:smoke` is a narrow network on noise, on two CPU cores.
Expected:  test/accuracy 0.706 (:paper)
Source:    Howard et al. 2017, "MobileNets: efficient convolutional neural networks for mobile
           vision applications", arXiv 1704.04861: 70.6 in table 8; section 3.2: RMSProp as for
           Inception-v3, "very little or no weight decay" on depthwise kernels, no label smoothing.
           tensorflow/models, research/slim: nets/mobilenet_v1_train.py, a rate of 0.045 for 64
           images, times 0.94 every 2.5 epochs; RMSProp's 0.9, 0.9 and 1 and the decay of 4e-5 are
           those of train_image_classifier.py. The checkpoint published there has 70.9.

The rate is scaled to the batch, as slim's is to its workers. Images are prepared as slim does it
for this network: crops of 5 to 100 % of the area, colours changed; evaluation takes the central
87.5 %, resized.

What differs: neither source says how long the network was trained: 150 epochs are a choice. Workers
were asynchronous. Slim's momentum of BatchNorm is 0.9997 and its epsilon 1e-3, here 0.9 and 1e-5;
it changes colours in orders of its own, brightness by adding. The paper limits the size of small
crops and does not say to what.
"""

from ml_collections import ConfigDict

from library import presets

VARIANTS = {"paper": 0.706, "smoke": None}


def get_config(variant: str = "paper") -> ConfigDict:
    config = presets.imagenet(batch_size=512)
    config.preprocess = presets.inception_crops(224)
    config.augment = presets.inception_colours()
    config.normalize = presets.SIGNED
    config.model = dict(name="mobilenet_v1", num_classes=1000, dropout=0.001)
    config.task = dict(name="classification")
    config.optimizer = dict(
        name="rmsprop",
        learning_rate=0.045,
        base_batch=64,
        decay=0.9,
        momentum=0.9,
        eps=1.0,
        initial_scale=1.0,
        weight_decay=4e-5,
        decayed=["^(?!.*depthwise).*kernel$"],
        schedule=dict(name="exponential", factor=0.94, every="2.5 epochs", staircase=True),
    )
    config.total = "150 epochs"
    config.parallel = dict(strategy="pmap")
    if variant == "smoke":
        _shrink(config)
    else:
        config.reported = dict(
            metric="test/accuracy", value=VARIANTS[variant], source="Howard et al. 2017, table 8"
        )
    return config


def _shrink(config: ConfigDict) -> None:
    presets.shrink(config)
    config.preprocess = presets.inception_crops(64)
    config.model.update(num_classes=10, width_multiplier=0.25)
