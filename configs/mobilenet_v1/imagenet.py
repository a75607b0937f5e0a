"""MobileNet of version 1 on ImageNet-1k, by its authors' recipe.

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
           from train_image_classifier.py. The published checkpoint has 70.9.

The rate is scaled to the batch size; slim scales it to the number of workers. Images are prepared
as slim does for this network: crops of 5 to 100 % of the area and changes of colour; evaluation
resizes the central 87.5 %.

What differs: neither source states the length of the training; 150 epochs are a choice of this
recipe. The workers of the original are asynchronous. The momentum of BatchNorm is 0.9 and its
epsilon 1e-5, and 0.9997 and 1e-3 in slim. slim changes colours in its own orders, and adds to the
brightness. The paper limits the size of small crops, but does not state the limit.
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
        presets.shrink(config, size=64, num_classes=10, width_multiplier=0.25)
    else:
        config.reported = dict(
            metric="test/accuracy", value=VARIANTS[variant], source="Howard et al. 2017, table 8"
        )
    return config
