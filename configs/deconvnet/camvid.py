"""DeconvNet segments road scenes of 480x360 pixels.

System:    DeconvNet (Noh et al. 2015, arXiv 1505.04366): segment images
Command:   python -m experiments.prepare --dataset=camvid
           python -m experiments.train --config=configs/deconvnet/camvid.py
Hardware:  an accelerator of 24 GB
Expected:  no result is claimed: the 0.598 of Badrinarayanan et al. 2017 (arXiv 1511.00561, table 3)
           is for a network that learned from 3,433 road scenes of several collections
Source:    Noh, Hong and Han 2015, "Learning Deconvolution Network for Semantic Segmentation" (arXiv
           1505.04366); settings of Badrinarayanan et al. 2017, section 4

As in the comparison of Badrinarayanan et al., the layers between the halves have 1024 channels, and
all learn end to end with SGD: a fixed rate of 1e-3, momentum 0.9 and five images a step.
`init_from` starts the first half from a run of vgg.vgg16_bn.
"""

from ml_collections import ConfigDict

from library import presets


def get_config(variant: str = "") -> ConfigDict:
    config = presets.camvid("camvid", 5)
    config.augment = []
    config.model = dict(name="deconvnet", hidden_size=1024)
    config.task = dict(name="segmentation", ignore=11)
    config.optimizer = dict(name="sgd", learning_rate=1e-3, momentum=0.9)
    config.total = "40000 steps"
    return config
