"""WRN-50-2 of torchvision, under the names of its ResNets."""

from library.weights.published import Published, Reported, Table
from library.weights.resnet import RULES, STAGES

PUBLISHED: Table = {
    "wide_resnet50_2": Published(
        model=dict(name="wide_resnet.wide_resnet50_2"),
        rules=RULES,
        paper="Zagoruyko & Komodakis 2016, Wide residual networks, arXiv 1605.07146",
        parameters=68_883_240,
        gflops=2 * 11.398,
        reference="torchvision/wide_resnet50_2",
        stages=STAGES,
        reported=Reported(78.468, 94.086, "torchvision 0.28, IMAGENET1K_V1"),
    )
}
