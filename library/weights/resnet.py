"""ResNets of torchvision: weights of He et al. 2015, under the names that most others use too."""

from library.weights.mapping import conv_rules, dense_rules, norm_rules
from library.weights.published import Published, Reported, Table, Transform

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
_V1 = "torchvision 0.28, IMAGENET1K_V1"

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
        reported=Reported(top1, top5, _V1),
    )
    for name, (parameters, gmacs, top1, top5) in _SIZES.items()
}
