"""SegNet and SegNet-Basic segment road scenes of 480x360 pixels.

System:    SegNet (Badrinarayanan et al. 2017, arXiv 1511.00561): segment images
Command:   python -m experiments.prepare --dataset=camvid
           python -m experiments.train --config=configs/segnet/camvid.py:basic
Hardware:  an accelerator of 24 GB for :segnet, of 8 GB for :basic
Expected:  test/mean_iou 0.477 with :basic; no result is claimed for :segnet, because the paper's
           0.601 is for a network that learned from 3,433 road scenes of several collections and
           started from a trained VGG-16
Source:    Badrinarayanan, Kendall and Cipolla 2017, "SegNet: A Deep Convolutional Encoder-Decoder
           Architecture for Image Segmentation" (arXiv 1511.00561), sections 3.2 and 4, tables 1 to
           3

`:basic` has the settings of section 3.2: SGD with a fixed rate of 0.1 and momentum 0.9, twelve
images a step, and median frequency balancing. `:segnet` has those of section 4: rate 1e-3, five
images a step, no balancing. The paper normalizes the contrast of `:basic` locally; here images are
normalized by channel. `init_from` starts the encoder of `:segnet` from a run of vgg.vgg16_bn.
"""

from ml_collections import ConfigDict

from library import presets

# Model, images a step, rule of the class weights, learning rate, steps.
VARIANTS = {
    "segnet": ("segnet", 5, None, 1e-3, 40_000),
    "basic": ("segnet.segnet_basic", 12, "median_frequency", 0.1, 20_000),
}


def get_config(variant: str = "segnet") -> ConfigDict:
    model, batch_size, weights, rate, steps = VARIANTS[variant]
    config = presets.camvid("camvid", batch_size, weights=weights)
    config.augment = []
    config.model = dict(name=model)
    config.task = dict(name="segmentation", ignore=11)
    if weights is not None:
        config.task.class_weights = "map_class_weights"
    config.optimizer = dict(name="sgd", learning_rate=rate, momentum=0.9)
    config.total = f"{steps} steps"
    if variant == "basic":
        config.reported = dict(
            metric="test/mean_iou",
            value=0.477,
            source="Badrinarayanan et al. 2017 (arXiv 1511.00561), table 1, median frequency",
        )
    return config
