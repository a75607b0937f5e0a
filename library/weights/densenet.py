"""DenseNets of torchvision, whose weights were converted from the authors' Torch weights."""

from library.weights.mapping import Rule, conv_rules, dense_rules, norm_rules
from library.weights.published import V1, Published, Reported, Table, Transform


def _rules(number: str) -> tuple[Rule, ...]:
    layer, there = r"block(\d+)_layer(\d+)", "features.denseblock{1}.denselayer{2}"
    return (
        *conv_rules("stem_conv", "features.conv0"),
        *norm_rules("stem_norm", "features.norm0"),
        *conv_rules(rf"{layer}/conv(\d)", f"{there}.conv{number}"),
        *norm_rules(rf"{layer}/norm(\d)", f"{there}.norm{number}"),
        *conv_rules(r"transition(\d)/conv", "features.transition{1}.conv"),
        *norm_rules(r"transition(\d)/norm", "features.transition{1}.norm"),
        *norm_rules("final_norm", "features.norm5"),
        *dense_rules("head", "classifier"),
    )


RULES = _rules("{3}")
# torchvision's files have older names, which it renames while it loads them.
TORCHVISION_FILE_RULES = _rules(".{3}")
_PAPER = "Huang et al. 2017, Densely connected convolutional networks, arXiv 1608.06993"

# Parameters, GMACs, top-1 and top-5 of torchvision's weights.
_SIZES = {
    "densenet121": (7_978_856, 2.834, 74.434, 91.972),
    "densenet161": (28_681_000, 7.728, 77.138, 93.560),
    "densenet169": (14_149_480, 3.360, 75.600, 92.806),
    "densenet201": (20_013_928, 4.291, 76.896, 93.370),
}
PUBLISHED: Table = {
    name: Published(
        model=dict(name=f"densenet.{name}"),
        rules=RULES,
        paper=_PAPER,
        parameters=parameters,
        gflops=2 * gmacs,
        reference=f"torchvision/{name}",
        stages=tuple(f"features.denseblock{i}" for i in range(1, 5)),
        transform=Transform(),
        reported=Reported(top1, top5, V1),
        others=(TORCHVISION_FILE_RULES,),
    )
    for name, (parameters, gmacs, top1, top5) in _SIZES.items()
}
