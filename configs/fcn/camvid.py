"""FCN-8s, FCN-16s and FCN-32s on VGG-16 segment road scenes of 480x360 pixels.

System:    FCN (Long et al. 2015, arXiv 1411.4038): segment images
Command:   python -m experiments.prepare --dataset=camvid
           python -m experiments.train --config=configs/fcn/camvid.py:fcn_8s
Hardware:  an accelerator of 24 GB
Expected:  no result is claimed: the 0.520 of Badrinarayanan et al. 2017 (arXiv 1511.00561, table 3)
           is for a network that learned from 3,433 road scenes of several collections
Source:    Long, Shelhamer and Darrell 2015, "Fully Convolutional Networks for Semantic
           Segmentation" (arXiv 1411.4038); settings of Badrinarayanan et al. 2017, section 4

The networks have batch normalization, as in the comparison of Badrinarayanan et al., and learn end
to end with SGD: a fixed rate of 1e-3, momentum 0.9 and five images a step. `init_from` starts the
stages from a run of vgg.vgg16_bn. Without `batch_norm`, they are those of Long et al., and start
from a run of vgg.vgg16.
"""

from ml_collections import ConfigDict

from library import presets

VARIANTS = ("fcn_8s", "fcn_16s", "fcn_32s")


def get_config(variant: str = "fcn_8s") -> ConfigDict:
    config = presets.camvid("camvid", 5)
    config.augment = []
    config.model = dict(name=f"fcn.{variant}", batch_norm=True)
    config.task = dict(name="segmentation", ignore=11)
    config.optimizer = dict(name="sgd", learning_rate=1e-3, momentum=0.9)
    config.total = "40000 steps"
    return config
