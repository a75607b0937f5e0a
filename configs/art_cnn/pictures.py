"""A small network that tells two kinds of pictures apart: those of a folder of your own, or pets.

System:    Two-class CNN with response normalization (after Krizhevsky et al. 2012): classify images
Command:   python -m experiments.train --config=configs/art_cnn/pictures.py:folder
             --config.dataset.data_dir=DIR
           python -m experiments.prepare --dataset=tinyimagenet2
           python -m experiments.train --config=configs/art_cnn/pictures.py:pets
Hardware:  two CPU cores, about 5 minutes per 1,000 images and epoch
Expected:  no result is claimed
Source:    none for this network; the response normalization is that of Krizhevsky et al. 2012,
           "ImageNet classification with deep convolutional neural networks", section 3.3

DIR has a directory of images for each class, such as DIR/baroque and DIR/cubism. 80 % of them
train, the others test. Images of any size are resized to 256x256. `:pets` are 1,100 photographs of
golden retrievers and Persian cats (tinyimagenet2), enlarged from 64x64. For more than two classes
nothing has to change.
"""

from ml_collections import ConfigDict

# Dataset, its splits for training and tests.
VARIANTS = {
    "folder": ("folder", "train[:80%]", "train[80%:]"),
    "pets": ("tinyimagenet2", "train", "val"),
}


def get_config(variant: str = "folder") -> ConfigDict:
    name, train, test = VARIANTS[variant]
    config = ConfigDict()
    config.dataset = dict(name=name, train=train, test=test, batch_size=16, eval_batch_size=50)
    config.preprocess = [dict(name="decode"), dict(name="resize", size=256)]
    config.augment = [
        dict(name="flip_lr"),
        dict(name="random_resized_crop", area=[0.5, 1.0]),
    ]
    config.normalize = dict(mean=[0.5], std=[0.25])
    config.model = dict(name="art_cnn")
    config.task = dict(name="classification")
    config.optimizer = dict(name="adam", learning_rate=3e-4, schedule=dict(name="cosine"))
    config.total = "10 epochs"
    config.evaluate = dict(test=dict(kind="metrics", every="1 epoch"))
    config.checkpoint = dict(every="1 epoch", best="test/accuracy")
    config.log_every = "10 steps"
    config.seed = 0
    return config
