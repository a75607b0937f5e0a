"""FaceNet: a face becomes a point, and the points of one person lie close together.

System:    FaceNet (Schroff et al. 2015, arXiv 1503.03832): recognize faces
Command:   python -m experiments.prepare --dataset=orl_faces
           python -m experiments.train --config=configs/facenet/orl_faces.py:cpu
Hardware:  one CPU core for :cpu, five minutes; one accelerator of 16 GB for :inception (not run
           here)
Expected:  no result is claimed: the paper reports 99.63 % of the pairs of LFW, after training on
           private data. Reached here: nearest/accuracy 1.000, same/auroc 0.999 (:cpu)
Source:    Schroff, Kalenichenko & Philbin 2015, "FaceNet: A unified embedding for face recognition
           and clustering" (arXiv 1503.03832), section 3: a margin of 0.2, semi-hard negatives,
           several faces of each person in a batch of 1,800, AdaGrad with a rate of 0.05

The 40 people of ORL have eight photographs for training and two for the tests. same/auroc and
same/validation_rate are measured over all pairs of test photographs; nearest/accuracy tells who it
is by the nearest photograph of training. `:cpu` is a small convolutional network with 64 numbers a
face, and Adam. `:inception` is Inception-ResNet-v1, the network of later FaceNet projects, with 512
numbers and AdaGrad; `facenet_vggface2` of `experiments.zoo` has published weights of it.

With `dataset.name="folder"`, a `data_dir` with a directory of cropped faces for each person, and
`train="train[:90%]"`, `test="train[90%:]"`, a run learns the people of your own.
"""

from ml_collections import ConfigDict

CPU = dict(name="cnn.small", num_classes=64, widths=[16, 32, 64, 128])
INCEPTION = dict(name="inception_resnet_v1", output="embedding")
ADAM = dict(name="adam", learning_rate=1e-3, schedule=dict(name="cosine"))
# Network, height and width of a face, people and photographs of each in a batch, optimizer.
VARIANTS = {
    "cpu": (CPU, [56, 46], (8, 4), ADAM),
    "inception": (INCEPTION, [160, 160], (20, 4), dict(name="adagrad", learning_rate=0.05)),
}


def get_config(variant: str = "cpu") -> ConfigDict:
    model, size, (people, each), optimizer = VARIANTS[variant]
    config = ConfigDict()
    config.dataset = dict(name="orl_faces", train="train", test="test", cache="device")
    config.dataset.update(batch_size=people * each, eval_batch_size=80)
    config.dataset.order = dict(name="balanced", classes=people, examples=each)
    config.preprocess = [dict(name="decode", channels=1), dict(name="resize", size=size)]
    config.augment = [dict(name="flip_lr"), dict(name="random_crop", padding=3, mode="reflect")]
    config.normalize = dict(mean=[0.5], std=[0.25])
    config.model = dict(model)
    config.task = dict(name="triplet", margin=0.2)
    config.optimizer = dict(optimizer)
    config.total = "150 epochs"
    config.evaluate = dict(
        test=dict(kind="metrics", every="10%"),
        same=dict(kind="verification", far=0.01, every="10%"),
        nearest=dict(kind="nearest_neighbours", k=1, every="10%"),
    )
    config.checkpoint = dict(every="10%")
    config.log_every = "10 steps"
    config.seed = 0
    return config
