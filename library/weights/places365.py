"""Networks for places: the PyTorch weights that CSAILVision/places365 published, 365 classes.

They are torchvision's networks with another head. The files are checkpoints of a training on
several GPUs, so a word stands before the names: before all of them, or before those of AlexNet's
convolutions. DenseNet's file has the older names.
"""

from library.weights import alexnet, densenet, resnet
from library.weights.mapping import Rule
from library.weights.published import Published, Table

CLASSES = 365
_PAPER = (
    "Zhou et al. 2017, Places: A 10 million image database for scene recognition, IEEE TPAMI 40"
)
_PARALLEL_FEATURES = tuple(
    Rule(rule.path, rule.name.replace("features.", "features.module."), rule.layout)
    for rule in alexnet.RULES
)


def _places(
    model: str, rules: tuple[Rule, ...], parameters: int, *others: tuple[Rule, ...]
) -> Published:
    return Published(
        model=dict(name=model, num_classes=CLASSES),
        rules=rules,
        paper=_PAPER,
        parameters=parameters,
        gflops=None,
        others=others,
    )


PUBLISHED: Table = {
    "alexnet_places365": _places("alexnet", alexnet.RULES, 58_499_245, _PARALLEL_FEATURES),
    "resnet18_places365": _places("resnet.resnet18", resnet.RULES, 11_363_757),
    "resnet50_places365": _places("resnet.resnet50", resnet.RULES, 24_255_917),
    "densenet161_places365": _places(
        "densenet.densenet161", densenet.RULES, 27_278_285, densenet.TORCHVISION_FILE_RULES
    ),
}
