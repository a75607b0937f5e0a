"""Transfer learning in two phases: a new head on frozen features, then all layers at small rates.

System:    Fine-tuning (Yosinski et al. 2014, arXiv 1411.1792): classify images of few examples
Command:   python -m experiments.prepare --dataset=cifar10_jpeg
           python -m experiments.prepare --dataset=tinyimagenet20
           python -m experiments.train --config=configs/fine_tuning/tinyimagenet20.py:pretrain
           python -m experiments.train --config=configs/fine_tuning/tinyimagenet20.py:features
           python -m experiments.train --config=configs/fine_tuning/tinyimagenet20.py:fine_tune
           python -m experiments.train --config=configs/fine_tuning/tinyimagenet20.py:scratch
Hardware:  one CPU core: 16 minutes for :pretrain, one to three for each of the others; one GPU for
           :resnet18_features and :resnet18_fine_tune, not run here. `:smoke` is four steps on noise
Expected:  test/accuracy 0.565 (:fine_tune), 0.470 (:features) and, trained as long as both phases
           together, 0.551 (:scratch), which were reached; no result is published for this subset
Source:    Yosinski et al. 2014, "How transferable are features in deep neural networks?", arXiv
           1411.1792; Kornblith, Shlens and Le 2019, "Do better ImageNet models transfer better?",
           arXiv 1805.08974, which compares the three ways; Clark et al. 2020 (ELECTRA), arXiv
           2003.10555, for rates that shrink towards the first layers.

The data are 2,000 photographs of twenty classes, a fifth of the training split, at 32x32 pixels.
The network is a small ResNet-18 that was pretrained on the ten classes of CIFAR-10.
`--config.dataset.train=train` uses all 10,000 photographs.

Each phase starts from the workdir of the phase before, `init_from`. The head has other classes, so
its shape differs and it starts from new values. A frozen backbone runs as in evaluation,
`frozen_statistics`: otherwise its normalizations would use and collect the statistics of the new
images.

Published weights of an ImageNet network can be fine-tuned in the same way, at 128x128 pixels:

    python -m experiments.zoo import resnet18 --weights=FILE --workdir=runs/resnet18
    python -m experiments.train --config=configs/fine_tuning/tinyimagenet20.py:resnet18_features
"""

from ml_collections import ConfigDict

# Workdir of the initial params, whether all but the head is frozen, peak rate, length.
VARIANTS = {
    "features": ("runs/fine_tuning-tinyimagenet20-pretrain", True, 3e-3, "20 epochs"),
    "fine_tune": ("runs/fine_tuning-tinyimagenet20-features", False, 1e-3, "20 epochs"),
    "scratch": (None, False, 3e-3, "40 epochs"),
    "pretrain": (None, False, 3e-3, "10 epochs"),
    "resnet18_features": ("runs/resnet18", True, 1e-3, "5 epochs"),
    "resnet18_fine_tune": (
        "runs/fine_tuning-tinyimagenet20-resnet18_features",
        False,
        1e-4,
        "10 epochs",
    ),
    "smoke": (None, True, 3e-3, "4 steps"),
}


def get_config(variant: str = "features") -> ConfigDict:
    workdir, frozen, rate, total = VARIANTS[variant]
    published = variant.startswith("resnet18")
    config = ConfigDict()
    config.dataset = dict(
        name="tinyimagenet20",
        train="train" if published else "train[:20%]",
        test="val",
        batch_size=64,
        eval_batch_size=250,
        cache="device",
    )
    config.preprocess = [
        dict(name="decode"),
        dict(name="resize", size=128 if published else 32, method="bilinear"),
    ]
    config.augment = [
        dict(name="random_crop", padding=16 if published else 4),
        dict(name="flip_lr"),
    ]
    config.normalize = dict(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
    config.model = dict(name="resnet.resnet18", num_classes=20)
    if not published:
        config.model.update(stem="strided", width=16)
    config.task = dict(name="classification")
    config.optimizer = dict(
        name="adamw",
        learning_rate=rate,
        weight_decay=0.05,
        schedule=dict(name="cosine", warmup="5%"),
    )
    if frozen:
        config.optimizer.frozen = [r"^(?!head/)"]
        config.task.frozen_statistics = True
    elif workdir:
        # The head has the full rate, the first convolution 0.8^9 of it.
        config.optimizer.layer_decay = dict(
            rate=0.8, pattern=r"^stage(\d+)_block(\d+)", stem=["^stem_"]
        )
    config.total = total
    config.evaluate = dict(test=dict(kind="metrics", every="10%"))
    config.checkpoint = dict(every="100%")
    config.log_every = "5%"
    config.seed = 0
    if workdir:
        config.init_from = dict(workdir=workdir)
    if variant == "pretrain":
        config.dataset.update(name="cifar10_jpeg", train="train", test="test", batch_size=128)
        config.preprocess = [dict(name="decode")]
        config.model.num_classes = 10
    if variant == "smoke":
        config.dataset.update(
            name="synthetic/64x20", train="train[:256]", test="test[:64]", batch_size=16
        )
        config.dataset.eval_batch_size = 32
        config.evaluate = dict(test=dict(kind="metrics", every="100%"))
        config.optimizer.schedule.warmup = "1 steps"
        config.log_every = "1 steps"
    return config
