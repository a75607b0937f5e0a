"""DenseNet-121, 169 and 201 on ImageNet-1k, by the recipe of the paper.

System:    DenseNet (Huang et al. 2016, arXiv 1608.06993): classify images
Command:   python -m experiments.prepare --dataset=imagenet2012 --manual_dir=DIR
           python -m experiments.train --config=configs/densenet/imagenet.py:densenet121
Hardware:  eight devices; not run here. `:smoke` is a small network on noise, on two CPU cores.
Expected:  test/accuracy and test/top5 0.7498, 0.9229 (:densenet121), 0.7620, 0.9315
           (:densenet169), 0.7742, 0.9366 (:densenet201)
Source:    Huang, Liu, van der Maaten & Weinberger 2017, "Densely connected convolutional networks"
           (arXiv 1608.06993), section 4.2: 90 epochs, batches of 256, SGD, rate 0.1 divided by 10
           after 30 and 60 epochs, Nesterov momentum 0.9, weight decay 1e-4, no dropout with
           augmentation; table 3: errors for one central crop of 25.02 and 7.71, 23.80 and 6.85,
           22.58 and 6.34 (23.61, 22.08 and 21.46 with ten crops). Its augmentation is that of
           fb.resnet.torch: crops of 8 to 100 % of the area, flips, changes of brightness, contrast
           and saturation by up to 0.4 in random order, noise along the principal components.

torchvision's weights (74.434, 75.600, 76.896) were ported, or trained by a recipe that it does not
state.

There is no known difference from the original. Keep 32 images per device: each device has its own
batch statistics. Weight decay is coupled, for all params.
"""

from ml_collections import ConfigDict

from library import presets

VARIANTS = {"densenet121": 0.7498, "densenet169": 0.7620, "densenet201": 0.7742, "smoke": None}


def get_config(variant: str = "densenet121") -> ConfigDict:
    config = presets.imagenet(batch_size=256)
    config.preprocess = presets.crops()
    config.augment = presets.facebook_colours()
    config.normalize = presets.IMAGENET_COLOURS
    config.model = dict(name=f"densenet.{variant}", num_classes=1000)
    config.task = dict(name="classification")
    config.optimizer = dict(
        name="sgd",
        learning_rate=0.1,
        momentum=0.9,
        nesterov=True,
        weight_decay=1e-4,
        decayed="all",
        schedule=dict(name="step", boundaries=["30 epochs", "60 epochs"], factor=0.1),
    )
    config.total = "90 epochs"
    config.parallel = dict(strategy="pmap")
    if variant == "smoke":
        presets.shrink(
            config,
            size=32,
            name="densenet.densenet",
            num_classes=10,
            block_sizes=[1, 2, 2, 1],
            growth=4,
            stem="imagenet",
        )
    else:
        source = "Huang et al. 2017, arXiv 1608.06993, table 3"
        config.reported = dict(metric="test/accuracy", value=VARIANTS[variant], source=source)
    return config
