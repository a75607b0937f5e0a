"""ENet segments road scenes of 480x360 pixels, as in its paper.

System:    ENet (Paszke et al. 2016, arXiv 1606.02147): segment images
Command:   python -m experiments.prepare --dataset=camvid
           python -m experiments.train --config=configs/enet/camvid.py
Hardware:  an accelerator of 8 GB
Expected:  test/mean_iou 0.513
Source:    Paszke et al. 2016, "ENet: A Deep Neural Network Architecture for Real-Time Semantic
           Segmentation" (arXiv 1606.02147), section 5.2 and table 5

Adam with rate 5e-4 and L2 penalty 2e-4, ten images a step, weights of classes 1 / ln(1.02 + p). The
paper trains the encoder first, and then adds the decoder; this recipe trains both at once. The
paper does not state the number of epochs.
"""

from ml_collections import ConfigDict

from library import presets


def get_config(variant: str = "") -> ConfigDict:
    config = presets.camvid("camvid", 10, weights="log")
    config.augment = [dict(name="flip_lr")]
    config.model = dict(name="enet")
    config.task = dict(name="segmentation", ignore=11, class_weights="map_class_weights")
    schedule = dict(name="step", boundaries=["100 epochs", "200 epochs"])
    config.optimizer = dict(name="adam", learning_rate=5e-4, weight_decay=2e-4, schedule=schedule)
    config.total = "300 epochs"
    config.reported = dict(
        metric="test/mean_iou",
        value=0.513,
        source="Paszke et al. 2016 (arXiv 1606.02147), table 5",
    )
    return config
