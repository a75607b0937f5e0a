"""Inception-v3 on ImageNet-1k, with its auxiliary classifier, by the recipe of the paper.

System:    Inception v3 (Szegedy et al. 2015, arXiv 1512.00567): classify images
Command:   python -m experiments.prepare --dataset=imagenet2012 --manual_dir=DIR
           python -m experiments.train --config=configs/inception_v3/imagenet.py:paper
Hardware:  not run here. `:smoke` is the network on small images of noise, on two CPU cores. The
           original: fifty GPUs.
Expected:  test_ema/accuracy 0.788 and test_ema/top5 0.944 (:paper)
Source:    Szegedy, Vanhoucke, Ioffe, Shlens & Wojna 2016, "Rethinking the Inception architecture
           for computer vision" (arXiv 1512.00567), abstract (errors of 21.2 and 5.6 for a single
           crop) and section 8: 100 epochs, 32 images on each of 50 devices, RMSProp with decay 0.9
           and epsilon 1, rate 0.045 times 0.94 every second epoch, gradients clipped at 2, label
           smoothing 0.1, running averages of the params.
           Chollet 2017 (arXiv 1610.02357), section 4.3: the weight decay of 4e-5 and dropout of 0.5
           of Inception-v3.
           The authors' code, tensorflow/models, research/inception and research/slim: momentum 0.9,
           the auxiliary classifier with 0.4 of the loss, averages with decay 0.9999, crops of 5 to
           100 % of the area, distortions of colour, tests at 299 on the central 87.5 %.

Results of the paper that this recipe does not claim: a top-5 error of 3.5 is for four networks and
144 crops. The claim itself is for the validation images without about 1,700 blacklisted ones
(Szegedy et al. 2016, arXiv 1602.07261, section 5); here all 50,000 count. torchvision's weights
were ported (77.294, 93.450), not trained.

What differs: the gradient is clipped by its global norm; the paper does not say how it is clipped.
TensorFlow adds to the brightness instead of multiplying it, applies the distortions in a fixed
order, and its crops contain at least a tenth of an annotated box. Weight decay is part of the loss,
and only for kernels. Keep 32 images per device: each device has its own batch statistics.
"""

from ml_collections import ConfigDict

from library import presets

VARIANTS = {"paper": 0.788, "smoke": None}


def get_config(variant: str = "paper") -> ConfigDict:
    config = presets.imagenet(batch_size=1600)
    config.preprocess = presets.inception_crops(299)
    config.augment = presets.inception_colours()
    config.normalize = presets.SIGNED
    config.model = dict(name="inception_v3", num_classes=1000, aux=True, dropout=0.5)
    config.task = dict(name="classification", label_smoothing=0.1, aux_weight=0.4)
    # As in TensorFlow: epsilon inside the root, squares start at one, momentum includes the rate.
    config.optimizer = dict(
        name="rmsprop",
        learning_rate=0.045,
        decay=0.9,
        eps=1.0,
        initial_scale=1.0,
        momentum=0.9,
        l2=4e-5,
        decayed="kernels",
        clip=dict(global_norm=2.0),
        schedule=dict(name="exponential", factor=0.94, every="2 epochs", staircase=True),
    )
    config.ema = dict(decay=0.9999, warmup=True)
    config.total = "100 epochs"
    config.parallel = dict(strategy="pmap")
    config.checkpoint = dict(every="1 epoch", best="test_ema/accuracy")
    if variant == "smoke":
        _shrink(config)
    else:
        source = "Szegedy et al. 2016, arXiv 1512.00567, abstract; without blacklisted images"
        config.reported = dict(metric="test_ema/accuracy", value=VARIANTS[variant], source=source)
    return config


def _shrink(config: ConfigDict) -> None:
    # The auxiliary classifier needs images of 299x299.
    presets.shrink(config, size=75, num_classes=10, aux=False)
    config.augment = [dict(name="flip_lr")]
    config.task.aux_weight = 0.0
