"""An autoencoder of faces that shows where a face is occluded or has a foreign patch.

System:    Anomaly maps of an autoencoder (Bergmann et al. 2019, arXiv 1807.02011): find anomalies
           in images
Command:   python -m experiments.prepare --dataset=orl_faces
           python -m experiments.train --config=configs/autoencoder/orl_faces.py
Hardware:  two CPU cores
Expected:  no result is recorded yet; the aim is maps/occlusion_error_auroc and
           maps/patch_error_auroc 0.9 or more. 48 principal components have 0.895 and 0.922
Source:    Bergmann et al. 2019, "Improving unsupervised defect segmentation by applying structural
           similarity to autoencoders", whose data are other images

The faces are reduced to 56x46. They are mirrored, moved by up to two pixels, and during training a
quarter of the pixels is black or white: a network that only copied its input would copy anomalies,
too. The evaluation "maps" plants squares into the test faces, and draws the maps of the squared
error and of the structural similarity beside the truth. `configs/autoencoder/mnist.py:anomaly_maps`
does so with digits.
"""

from ml_collections import ConfigDict


def get_config(variant: str = "") -> ConfigDict:
    config = ConfigDict()
    config.dataset = dict(
        name="orl_faces",
        train="train",
        test="test",
        batch_size=32,
        eval_batch_size=40,
        cache="device",
    )
    config.preprocess = [dict(name="decode", channels=1), dict(name="resize", size=[56, 46])]
    config.augment = [
        dict(name="flip_lr"),
        dict(name="random_crop", padding=2, mode="reflect"),
    ]
    config.model = dict(
        name="autoencoder.dense", hidden=[512], latent_dim=32, code_activation="linear"
    )
    config.task = dict(name="autoencoding", corruption="salt_and_pepper", corruption_level=0.25)
    config.optimizer = dict(name="adam", learning_rate=1e-3, schedule=dict(name="cosine"))
    config.total = "400 epochs"
    config.evaluate = dict(
        test=dict(kind="metrics", every="10%"),
        rebuilt=dict(kind="samples", output="comparison", split="test", num=16, every="25%"),
        maps=dict(kind="anomaly_maps", num=80, every="25%"),
    )
    config.checkpoint = dict(every="25%")
    config.log_every = "100 steps"
    config.seed = 0
    return config
