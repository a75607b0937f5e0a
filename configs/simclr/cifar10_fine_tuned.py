"""What SimCLR's features are worth: fine-tuning them on few labels, and labels without them.

System:    SimCLR (Chen et al. 2020, arXiv 2002.05709): learn features without labels
Command:   python -m experiments.train --config=configs/simclr/cifar10.py:hour
           python -m experiments.train --config=configs/simclr/cifar10_fine_tuned.py:labels1
Hardware:  two CPU cores: 1 minute for :labels1, 3 for :labels10, 10 for :labels100 and its
           counterpart from scratch, 18 for :supervised
Expected:  more than from scratch, the more so the fewer the labels (ImageNet, table 7: top-5 of
           75.5 against 48.4 with 1 %, 87.8 against 80.4 with 10 %); no figure is published for
           this network: here test/accuracy 0.528 (:labels1) against 0.398 (:scratch1), 0.710
           (:labels10) against 0.704 (:scratch10), 0.803 (:labels100) against 0.798 (:scratch100),
           and 0.839 (:supervised, whose probe has 0.849 where that of :hour has 0.690)
Source:    Chen et al. 2020, "A Simple Framework for Contrastive Learning of Visual
           Representations", section 6 and appendix B.5: the whole network, Nesterov's momentum of
           0.9, no weight decay, no warmup, crops and flips, 60 epochs with 1 % of the labels, 30
           with 10 %. Its rate, 0.05 for 256 examples, is too small for the few small batches here,
           of 64, or of 256 with all labels: eight times that, which falls as a cosine.

The labels are the first 1 % or 10 % of the training split, whose order in the prepared set is
random (TFDS shuffles by a hash of each example's key): 500 of them, 45 to 58 a class, and 5,000.
The paper's subsets are balanced. From scratch (`scratch1`, ...) training is longer, has weight
decay and a larger rate, as a fair baseline needs. `supervised` sees all labels for the 40 epochs
of :hour; its neighbours and probe see features of images of 24x24, those of :hour of 32x32, the
best for each.

`--config.init_from.workdir` is the run that the encoder is taken from.
"""

from ml_collections import ConfigDict

# Training examples, epochs, whether pretrained.
VARIANTS = {
    "labels1": ("train[:1%]", 60, True),
    "labels10": ("train[:10%]", 30, True),
    "labels100": ("train", 15, True),
    "scratch1": ("train[:1%]", 300, False),
    "scratch10": ("train[:10%]", 80, False),
    "scratch100": ("train", 15, False),
    "supervised": ("train", 40, False),
}


def get_config(variant: str = "labels1") -> ConfigDict:
    train, epochs, pretrained = VARIANTS[variant]
    config = ConfigDict()
    config.dataset = dict(
        name="cifar10_jpeg",
        train=train,
        test="test",
        batch_size=64 if train != "train" else 256,
        eval_batch_size=500,
        cache="device",
    )
    # In whole images of this size objects are about as large as in the crops: Touvron et al. 2019,
    # "Fixing the train-test resolution discrepancy" (arXiv 1906.06423).
    config.preprocess = dict(
        train=[dict(name="decode")],
        test=[dict(name="decode"), dict(name="resize", size=24)],
    )
    config.augment = [
        dict(name="random_resized_crop", size=16, area=[0.2, 1.0]),
        dict(name="flip_lr"),
    ]
    config.normalize = dict(mean=[0.4914, 0.4822, 0.4465], std=[0.2470, 0.2435, 0.2616])
    config.model = dict(name="wide_resnet", num_classes=10, depth=10, widen_factor=2)
    config.task = dict(name="classification")
    config.optimizer = dict(
        name="sgd",
        learning_rate=0.4 if pretrained else 0.2,
        base_batch=256,
        momentum=0.9,
        nesterov=True,
        weight_decay=0.0 if pretrained else 5e-4,
        schedule=dict(name="cosine"),
    )
    config.total = f"{epochs} epochs"
    config.evaluate = dict(test=dict(kind="metrics", every="20%"))
    config.checkpoint = dict(every="50%")
    config.log_every = "5%"
    config.seed = 0
    if variant == "supervised":
        config.evaluate.knn = dict(kind="nearest_neighbours", every="100%")
        config.evaluate.probe = dict(kind="linear_probe", every="100%")
    if pretrained:
        config.init_from = dict(workdir="runs/simclr-cifar10-hour", prefix="encoder")
    return config
