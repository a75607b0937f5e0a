"""Big Transfer (BiT-S) on ImageNet-1k: trained at 224x224, then fine-tuned at 480x480.

System:    BiT (Kolesnikov et al. 2019, arXiv 1912.11370): classify images
Command:   python -m experiments.prepare --dataset=imagenet2012 --manual_dir=DIR
           python -m experiments.train --config=configs/big_transfer/imagenet.py:r50x1
           python -m experiments.train --config=configs/big_transfer/imagenet.py:finetune
Hardware:  not run here. `:smoke` is the smallest network on small images of noise, on two cores.
           The originals: TPUv3-512; larger networks need dtype="bfloat16", remat=True, and fsdp.
Expected:  test/accuracy 0.8130 (:finetune, BiT-S R152x4); there are no published results for :r50x1
           and :r152x4 before fine-tuning
Source:    Kolesnikov et al. 2020, "Big Transfer (BiT): general visual representation learning"
           (arXiv 1912.11370), section 3.2: 90 epochs, batches of 4096, SGD with momentum 0.9, rate
           0.03 for 256 images scaled linearly, 5,000 steps of warmup, divided by 10 after 30, 60
           and 80 epochs, weight decay 1e-4, crops of 8 to 100 % of the area of 224, flips.
           Section 3.3, fine-tuning ("BiT-HyperRule" for a large task): 20,000 steps of 512 images,
           rate 0.003 divided by 10 after 30, 60 and 90 % of them, mixup 0.1, no weight decay, a new
           head, which starts at zero; images resized to 512x512, random crops of 480, flips; tests
           at 480x480, not cropped (448 and 384 except for R152x4). Table 2: 81.30. The first 500 of
           these steps warm up in google-research/big_transfer, bit_hyperrule.py.

`:finetune` starts from a run of :r152x4, `--config.init_from.workdir`. It can also fine-tune
weights of ImageNet-21k, as in BiT-M.

What differs: TensorFlow's resizing is not antialiased. Weight decay is coupled and only for
kernels; the paper does not say whether it is for other params. Networks before fine-tuning are
tested on the central 224 of 256.
"""

from ml_collections import ConfigDict

from library import presets

VARIANTS = {"r50x1": None, "r152x4": None, "finetune": 0.8130, "smoke": None}


def get_config(variant: str = "r50x1") -> ConfigDict:
    config = presets.imagenet(batch_size=4096)
    config.preprocess = presets.crops()
    config.augment = [dict(name="flip_lr")]
    config.normalize = presets.SIGNED
    network = "bit_r50x1" if variant in ("r50x1", "smoke") else "bit_r152x4"
    config.model = dict(name=f"big_transfer.{network}", num_classes=1000)
    config.task = dict(name="classification")
    config.optimizer = dict(
        name="sgd",
        learning_rate=0.03,
        base_batch=256,
        momentum=0.9,
        weight_decay=1e-4,
        decayed="kernels",
        schedule=dict(
            name="step",
            boundaries=["30 epochs", "60 epochs", "80 epochs"],
            factor=0.1,
            warmup="5000 steps",
        ),
    )
    config.total = "90 epochs"
    if variant == "finetune":
        _finetune(config)
    if variant == "smoke":
        presets.shrink(config, size=32, num_classes=10)
    if VARIANTS[variant]:
        source = "Kolesnikov et al. 2020, arXiv 1912.11370, table 2"
        config.reported = dict(metric="test/accuracy", value=VARIANTS[variant], source=source)
    return config


def _finetune(config: ConfigDict) -> None:
    config.dataset.batch_size = 512
    config.preprocess = dict(
        train=[
            dict(name="decode"),
            dict(name="resize", size=512),
            dict(name="random_crop", size=480),
        ],
        test=[dict(name="decode"), dict(name="resize", size=480)],
    )
    config.augment = [dict(name="flip_lr"), dict(name="mixup", alpha=0.1)]
    config.optimizer = dict(
        name="sgd",
        learning_rate=0.003,
        momentum=0.9,
        schedule=dict(
            name="step", boundaries=["30%", "60%", "90%"], factor=0.1, warmup="500 steps"
        ),
    )
    config.init_from = dict(workdir="runs/big_transfer-imagenet-r152x4", fresh=["^head/"])
    config.total = "20000 steps"
    config.evaluate = dict(test=dict(kind="metrics", every="10%"))
    config.checkpoint = dict(every="10%", best="test/accuracy")
