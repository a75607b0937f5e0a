"""GoogLeNet (Inception-v1) on ImageNet-1k, with its auxiliary classifiers, by Caffe's recipe.

System:    GoogLeNet (Szegedy et al. 2014, arXiv 1409.4842): classify images
Command:   python -m experiments.prepare --dataset=imagenet2012 --manual_dir=DIR
           python -m experiments.train --config=configs/googlenet/imagenet.py:caffe
Hardware:  not run here. `:smoke` is the network on small images of noise, on two CPU cores.
Expected:  test/accuracy 0.687 and test/top5 0.889 (:caffe)
Source:    BVLC/caffe, models/bvlc_googlenet, readme, quick_solver.prototxt and train_val.prototxt:
           2,400,000 steps of 32 images (60 epochs), rate 0.01 times the square root of the
           remaining share of steps, momentum 0.9, weight decay 2e-4, auxiliary classifiers with 0.3
           of the loss; 68.7 and 88.9 for the central crop.
           Szegedy et al. 2014, "Going deeper with convolutions" (arXiv 1409.4842).

Results of the paper that this recipe does not claim: its network has a top-5 error of 10.07 with
one crop (table 3) and 6.67 with seven networks and 144 crops. The paper states parts of its recipe
(momentum 0.9, a rate that falls by 4 % every 8 epochs, averaged weights, crops of 8 to 100 % of the
area, photometric distortions), but neither the initial rate nor the length. The weights of
torchvision were ported (69.778, 89.530), not trained by a recipe that it states.

What differs: the mean colour is rounded in Caffe. As in Caffe, images are resized to 256x256
whatever their shape, and biases have twice the rate and no decay. Inputs are grey levels minus
their mean, which suit the initial kernels. Weight decay is coupled.
"""

from ml_collections import ConfigDict

from library import presets

VARIANTS = {
    "caffe": (0.687, "BVLC/caffe, models/bvlc_googlenet/readme.md, center crop"),
    "smoke": None,
}


def get_config(variant: str = "caffe") -> ConfigDict:
    config = presets.imagenet(batch_size=32, eval_batch_size=200)
    config.preprocess = presets.caffe_crops(224)
    config.augment = [dict(name="flip_lr")]
    config.normalize = dict(mean=[123 / 255, 117 / 255, 104 / 255], std=[1 / 255] * 3)
    config.model = dict(
        name="googlenet.googlenet_2014", num_classes=1000, aux=True, dropout=0.4, aux_dropout=0.7
    )
    config.task = dict(name="classification", aux_weight=0.3)
    config.optimizer = dict(
        name="sgd",
        learning_rate=0.01,
        momentum=0.9,
        weight_decay=2e-4,
        decayed="kernels",
        rates=[["bias$", 2.0]],
        schedule=dict(name="polynomial", power=0.5),
    )
    config.total = "2400000 steps"
    config.log_every = "500 steps"
    if variant == "smoke":
        _shrink(config)
    else:
        value, source = VARIANTS[variant]
        config.reported = dict(metric="test/accuracy", value=value, source=source)
    return config


def _shrink(config: ConfigDict) -> None:
    presets.shrink(config)
    crop = [dict(name="decode"), dict(name="center_crop", size=80)]
    config.preprocess = dict(train=crop, test=crop)
    config.normalize.std = [1.0] * 3
    config.model.num_classes = 10
