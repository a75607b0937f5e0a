"""ResNeXts of torchvision: weights of Xie et al. 2017, under the names of its ResNets."""

from library.weights.published import Published, Reported, Table
from library.weights.resnet import RULES, STAGES

_PAPER = "Xie et al. 2017, Aggregated residual transformations, arXiv 1611.05431"
_V1 = "torchvision 0.28, IMAGENET1K_V1"

# Parameters, GMACs, top-1 and top-5 of torchvision's first weights.
_SIZES = {
    "resnext50_32x4d": (25_028_904, 4.23, 77.618, 93.698),
    "resnext101_32x8d": (88_791_336, 16.414, 79.312, 94.526),
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
        reported=Reported(top1, top5, _V1),
    )
    for name, (parameters, gmacs, top1, top5) in _SIZES.items()
}
