"""ResNeXts of torchvision: the networks of Xie et al. 2017, with the names of its ResNets."""

from library.weights.published import V1, V2, Published, Reported, Table, Weights
from library.weights.resnet import RULES, SECOND, STAGES

_PAPER = "Xie et al. 2017, Aggregated residual transformations, arXiv 1611.05431"

# Parameters, GMACs, top-1 and top-5 of torchvision's first weights, and of its second.
_SIZES = {
    "resnext50_32x4d": (25_028_904, 4.23, 77.618, 93.698, 81.198, 95.340),
    "resnext101_32x8d": (88_791_336, 16.414, 79.312, 94.526, 82.834, 96.228),
}
PUBLISHED: Table = {
    name: Published(
        model=dict(name=f"resnext.{name}"),
        rules=RULES,
        paper=_PAPER,
        parameters=parameters,
        gflops=2 * gmacs,
        reference=f"torchvision/{name}",
        stages=STAGES,
        reported=Reported(top1, top5, V1),
        weights={"v2": Weights(SECOND, Reported(second_top1, second_top5, V2))},
    )
    for name, (parameters, gmacs, top1, top5, second_top1, second_top5) in _SIZES.items()
}
