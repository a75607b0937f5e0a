"""ResNets of torchvision: the networks of He et al. 2015, with names that most projects use."""

from library.weights.mapping import conv_rules, dense_rules, norm_rules
from library.weights.published import V1, V2, Published, Reported, Table, Transform, Weights

_BLOCK = r"stage(\d+)_block(\d+)"
_THERE = "layer{1}.{2-1}"
RULES = (
    *conv_rules("stem_conv", "conv1"),
    *norm_rules("stem_norm", "bn1"),
    *conv_rules(rf"{_BLOCK}/conv(\d)", f"{_THERE}.conv{{3}}"),
    *norm_rules(rf"{_BLOCK}/norm(\d)", f"{_THERE}.bn{{3}}"),
    *conv_rules(rf"{_BLOCK}/shortcut_conv", f"{_THERE}.downsample.0"),
    *norm_rules(rf"{_BLOCK}/shortcut_norm", f"{_THERE}.downsample.1"),
    *dense_rules("head", "fc"),
)
STAGES = ("layer1", "layer2", "layer3", "layer4")
_PAPER = "He, Zhang, Ren & Sun 2015, Deep residual learning for image recognition, arXiv 1512.03385"

# The transform with which torchvision measures its second weights.
SECOND = Transform(resize=232)
_OTHERS = {
    "resnet50": {
        "v2": Weights(SECOND, Reported(80.858, 95.434, V2)),
        "a1_in1k": Weights(
            Transform(size=288, resize=288, interpolation="bicubic"),
            Reported(81.214, 95.102, "timm, results-imagenet.csv, resnet50.a1_in1k at 288"),
        ),
    },
    "resnet101": {"v2": Weights(SECOND, Reported(81.886, 95.780, V2))},
    "resnet152": {"v2": Weights(SECOND, Reported(82.284, 96.002, V2))},
}
# Parameters, GMACs, top-1 and top-5 of torchvision's first weights.
_SIZES = {
    "resnet18": (11_689_512, 1.814, 69.758, 89.078),
    "resnet34": (21_797_672, 3.664, 73.314, 91.420),
    "resnet50": (25_557_032, 4.089, 76.130, 92.862),
    "resnet101": (44_549_160, 7.801, 77.374, 93.546),
    "resnet152": (60_192_808, 11.514, 78.312, 94.046),
}
PUBLISHED: Table = {
    name: Published(
        model=dict(name=f"resnet.{name}"),
        rules=RULES,
        paper=_PAPER,
        parameters=parameters,
        gflops=2 * gmacs,
        reference=f"torchvision/{name}",
        stages=STAGES,
        transform=Transform(),
        reported=Reported(top1, top5, V1),
        weights=_OTHERS.get(name, {}),
    )
    for name, (parameters, gmacs, top1, top5) in _SIZES.items()
}
